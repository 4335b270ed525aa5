// The button that turns a page dark or light; at first it is as the reader's system says.
document.getElementById('theme').addEventListener('click', () => {
  const root = document.documentElement, dark = getComputedStyle(root).colorScheme.includes('dark');
  root.dataset.theme = dark ? 'light' : 'dark';
});
