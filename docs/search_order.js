// How the search orders what it finds: guide pages, then the reference, then examples.
var Scorer = {
  score: (result) => {
    const page = result[0];
    const score = result[4];
    if (page.startsWith("auto_examples/") || page === "sg_execution_times") return score - 20;
    if (page.startsWith("api/") || page === "genindex") return score - 5;
    if (page === "changelog" || page === "requests" || page === "checks") return score - 20;
    return score + 15;
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
