"""What something costs Hubble and us, as a picture (SVG): two bars for each figure, the longer one the same length in all rows."""
import html

LABEL, SCALE, VALUE = 330, 300, 290  # columns, in pixels; SCALE is what Hubble takes
ROW, MARGIN = 40, 16

STYLE = """
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:13px;background:#fff}
.h{font-weight:600;fill:#1b2430}.l{fill:#36414e;text-anchor:end}.v{fill:#536070}.t{font-weight:600;fill:#1b2430}
.ours{fill:#17806d}.theirs{fill:#b9c3cf}
@media (prefers-color-scheme:dark){svg{background:#0f141b}.h{fill:#e7edf5}.l{fill:#c3cfdc}.v{fill:#9fb0c3}.t{fill:#e7edf5}
.ours{fill:#3fb8a0}.theirs{fill:#475361}}
"""


def text(kind, x, y, words):
    return '<text class="%s" x="%d" y="%d">%s</text>' % (kind, x, y, html.escape(words))


def bar(kind, x, y, width):
    return '<rect class="%s" x="%d" y="%d" width="%.1f" height="12" rx="2"/>' % (kind, x, y, max(width, 1.5))


def draw(rows, about):
    """@rows: (what, times, ours as text, theirs as text); times: how much more of it, or how much slower, theirs is."""
    left, out = MARGIN + LABEL + 12, []
    y = MARGIN + 48
    for what, times, ours, theirs in rows:
        longest = max(times, 1)
        out += [text('l', left - 12, y + 18, what),
                bar('theirs', left, y, SCALE * times / longest), bar('ours', left, y + 14, SCALE / longest),
                text('t', left + SCALE + 14, y + 18, '%.1f ×' % times if times < 10 else '%.0f ×' % times),
                text('v', left + SCALE + 70, y + 18, '%s → %s' % (theirs, ours))]
        y += ROW
    wide, high = left + SCALE + VALUE, y + MARGIN
    head = [text('h', MARGIN, MARGIN + 12, 'The same work, Hubble above (grey) and Tycho below (green): shorter is better'),
            text('v', MARGIN, MARGIN + 31, about)]
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
            'aria-label="Two bars for each figure: what it takes Hubble, and what it takes Tycho.">\n<style>{2}</style>\n'
            '{3}\n</svg>\n').format(wide, high, STYLE, '\n'.join(head + out))
