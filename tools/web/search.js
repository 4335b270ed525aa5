// Sections that hold all words of the search, those with a word in their heading first.
(() => {
  const sections = JSON.parse(document.getElementById('sections').textContent);
  const input = document.getElementById('search'), list = document.getElementById('found');
  input.addEventListener('input', () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(word => word.length > 1);
    const hits = words.length ? sections.map(([url, heading, text]) => {
      const head = heading.toLowerCase(), all = `${head} ${text.toLowerCase()}`;
      return {url, heading, text, rank: words.every(word => all.includes(word)) ? 1 + words.filter(word => head.includes(word)).length : 0};
    }).filter(hit => hit.rank).sort((a, b) => b.rank - a.rank).slice(0, 12) : [];
    list.replaceChildren(...hits.map(({url, heading, text}) => {
      const item = document.createElement('li'), link = document.createElement('a');
      const at = Math.max(0, text.toLowerCase().indexOf(words[0]) - 60);
      link.href = url;
      link.textContent = heading;
      item.append(link, ` … ${text.slice(at, at + 160)} …`);
      return item;
    }));
    if (words.length && !hits.length) list.textContent = 'No section holds all of these words.';
  });
})();
