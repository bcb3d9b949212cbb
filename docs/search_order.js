// How the search orders what it finds: pages whose title holds all words of the query,
// then guide pages, the reference, examples, and pages for contributors.
var Scorer = {
  score: ([page, title, , , score]) => {
    const query = new URLSearchParams(window.location.search).get("q") || "";
    const words = query.toLowerCase().split(/\s+/).filter((word) => word.length > 2);
    const inTitle = words.length && words.every((word) => title.toLowerCase().includes(word));
    const bonus = inTitle ? 20 : 0;
    if (/^(changelog|contributing|notes|requests|checks|genindex)$/.test(page)) return score - 20;
    if (page.startsWith("auto_examples/")) return score - 10 + bonus;
    if (page.startsWith("api/")) return score - 5;
    return score + 15 + bonus;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
