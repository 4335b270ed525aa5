// A notebook's slides become pages of 1280 by 720: what does not fit goes on on the next page, below.
// What is wider or taller than a page by itself (a long table, a formula) is shown smaller.
const WIDTH = 1280, HEIGHT = 720, EDGE = 36;

function paginate(section) {
  const notes = section.querySelector(':scope > aside.notes');
  const blocks = [...section.children].filter(child => child !== notes).flatMap(items), pages = [section];
  section.replaceChildren();
  // The bottom of the last block, since a page is never lower than itself.
  const full = page => page.lastElementChild.getBoundingClientRect().bottom - page.getBoundingClientRect().top > HEIGHT - EDGE;
  for (const block of blocks) {
    let page = pages.at(-1);
    page.append(block);
    shrink(block, WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE);
    if (!full(page)) continue;
    const moved = [block];
    // A heading, or a line that announces what follows, stays with it, unless nothing else would be left.
    for (let last = block.previousElementSibling; last && isLead(last); last = last.previousElementSibling) moved.unshift(last);
    if (moved.length === page.children.length && moved.some(part => part !== block && part.tagName === 'P')) moved.splice(0, moved.length - 1);
    if (moved.length === page.children.length) {
      if (moved.length > 1) shrink(block, WIDTH - 2 * EDGE, HEIGHT - EDGE - topOf(page, block));
      continue;
    }
    page = document.createElement('section');
    page.className = 'continued';
    pages.at(-1).after(page);
    pages.push(page);
    page.append(...moved);
    if (full(page)) shrink(block, WIDTH - 2 * EDGE, HEIGHT - EDGE - topOf(page, block));
  }
  if (notes) section.append(notes);
}

// A long list may go on on the next page.
function items(block) {
  if (!['UL', 'OL'].includes(block.tagName) || block.offsetHeight < HEIGHT / 2) return [block];
  return [...block.children].map((item, i) => {
    const list = block.cloneNode(false);
    if (block.tagName === 'OL') list.start = block.start + i;
    list.append(item);
    return list;
  });
}

const topOf = (page, block) => block.getBoundingClientRect().top - page.getBoundingClientRect().top;
const isLead = block => /^H[1-6]$/.test(block.tagName) || (block.tagName === 'P' && /:\s*$/.test(block.textContent));

function shrink(block, width, height) {
  const box = block.getBoundingClientRect();
  const share = Math.min(1, width / Math.max(box.width, block.scrollWidth), height / box.height);
  if (share < 1) block.style.zoom = 0.99 * share * (Number(block.style.zoom) || 1);
}

window.addEventListener('load', async () => {
  await window.ganLive?.filled();
  await new Promise(done => setTimeout(done, 400));  // pictures that lie in living pages are decoded first
  const deck = document.querySelector('.reveal');
  deck.classList.add('measuring');
  deck.querySelectorAll('.slides > section > section').forEach(paginate);
  deck.classList.remove('measuring');
  Reveal.initialize({
    width: WIDTH, height: HEIGHT, margin: 0, minScale: 0.1, center: false, hash: true, slideNumber: 'c/t',
    transition: 'none', navigationMode: 'linear', plugins: [RevealNotes],
    // The keys of a slider or a menu that has the focus are its own; escape gives them back.
    keyboardCondition: event => {
      const inside = event.target.closest('.gan-live, [data-player]');
      if (inside && event.key === 'Escape') event.target.blur();
      return !inside;
    },
  });
});
