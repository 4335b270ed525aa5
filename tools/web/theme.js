// The button that turns a page dark or light; at first it is as the reader's system says.
document.getElementById('theme').addEventListener('click', () => {
  const root = document.documentElement, dark = getComputedStyle(root).colorScheme.includes('dark');
  root.dataset.theme = dark ? 'light' : 'dark';
});

// What is wider than the page and can be scrolled is reached by the keyboard, too.
function reachWhatScrolls() {
  for (const wide of document.querySelectorAll('math, pre, main :is(p, ul, ol, table, .living)')) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
    else wide.removeAttribute('tabindex');
  }
}
addEventListener('load', reachWhatScrolls);
addEventListener('resize', reachWhatScrolls);
