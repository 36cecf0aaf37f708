({
  // Texts whose contrast with what is painted behind them is less than the 4.5 of WCAG's level AA.
  unreadable() {
    const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const luminance = (colours) => {
      for (pixel.fillStyle of colours) pixel.fillRect(0, 0, 1, 1);
      const [red, green, blue] = [...pixel.getImageData(0, 0, 1, 1).data].map((part) => linear(part / 255));
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const hasText = (one) => [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const found = [];
    for (const one of document.querySelectorAll("body *")) {
      if (!one.checkVisibility() || !hasText(one)) continue;
      const behind = [];
      for (let at = one; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
      const back = luminance(["white", ...behind]), text = luminance([getComputedStyle(one).color]);
      const contrast = (Math.max(back, text) + 0.05) / (Math.min(back, text) + 0.05);
      if (contrast < 4.5) found.push(`${one.tagName} ${one.className}: ${one.textContent}: ${contrast.toFixed(1)}`);
    }
    return found;
  },

  // Controls that a screen reader has no name for, or that a finger does not hit.
  unusable() {
    const usable = (one) => {
      const { width, height } = one.getBoundingClientRect();
      return width >= 24 && height >= 24 && (one.ariaLabel || one.labels?.[0]?.textContent || one.textContent).trim();
    };
    const controls = [...document.querySelectorAll("button, input, textarea")].filter((one) => one.checkVisibility());
    return controls.filter((one) => !usable(one)).map((one) => one.outerHTML);
  },

  // Count how often the children of these elements change, in window.drawn.
  count(...ids) {
    window.drawn = {};
    for (const id of ids) {
      window.drawn[id] = 0;
      new MutationObserver(() => window.drawn[id]++).observe(document.getElementById(id), { childList: true, subtree: true });
    }
  },
})
