"""Figures beside their budgets as a picture (SVG): a bar for each, which ends at the line if the budget is used up."""
import html

LABEL, SCALE, VALUE = 470, 280, 190  # columns, in pixels; SCALE is one budget
MOST = 1.5                           # budgets; a longer bar is cut off there
ROW, HEAD, MARGIN = 19, 27, 16
LETTERS = 66                         # of a label, at most

STYLE = """
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12.5px;background:#fff}
.h{font-weight:600;fill:#1b2430}.l{fill:#36414e;text-anchor:end}.v{fill:#536070}
.in{fill:#3b82c4}.out{fill:#d1730d}.m{font-weight:600;fill:#a85a06}.line{stroke:#1b2430;stroke-width:1.2}
@media (prefers-color-scheme:dark){svg{background:#0f141b}.h{fill:#e7edf5}.l{fill:#c3cfdc}.v{fill:#9fb0c3}
.in{fill:#58a6ff}.out{fill:#f0a04b}.m{fill:#f0a04b}.line{stroke:#e7edf5}}
"""


def share(measured, bound, budget):
    """How much of the budget is used up: 1 is all of it."""
    if bound == 'at most':
        return measured / budget
    return budget / measured if measured else float('inf')


def label(what):
    return what if len(what) <= LETTERS else what[:LETTERS - 1].rstrip() + '…'


def bars(sections):
    """(section, [(label, share, measured with its unit)]), of figures that have a budget other than none at all."""
    for name, rows in sections:
        kept = [(label(what), share(measured, bound, budget), text)
                for what, measured, bound, budget, text in rows if budget]
        if kept:
            yield name, kept


def draw(sections, about):
    """@sections: (name, [(what, measured, 'at most' or 'at least', budget or None, measured as text)])."""
    out, y, left = [], MARGIN + 40, MARGIN + LABEL + 10
    for name, rows in bars(sections):
        y += HEAD
        out.append('<text class="h" x="%d" y="%d">%s</text>' % (MARGIN, y - 8, html.escape(name)))
        for what, used, text in rows:
            held, width = used <= 1, min(used, MOST) * SCALE
            out.append('<text class="l" x="%d" y="%d">%s</text>' % (left - 10, y + 13, html.escape(what)))
            out.append('<rect class="%s" x="%d" y="%d" width="%.1f" height="13" rx="2"/>' %
                       ('in' if held else 'out', left, y + 3, max(width, 1)))
            out.append('<text class="%s" x="%.1f" y="%d">%s</text>' %
                       ('v' if held else 'm', left + max(width, SCALE) + 8, y + 13,
                        html.escape('%s, %.2f' % (text, used))))
            y += ROW
    wide, high = left + int(MOST * SCALE) + VALUE, y + MARGIN
    head = ['<text class="h" x="%d" y="%d">Share of the budget that is used: shorter is better</text>' % (MARGIN, MARGIN + 12),
            '<text class="v" x="%d" y="%d">%s</text>' % (MARGIN, MARGIN + 31, html.escape(about)),
            '<line class="line" x1="%d" x2="%d" y1="%d" y2="%d"/>' % (left + SCALE, left + SCALE, MARGIN + 44, y + 4)]
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
            'aria-label="A bar for each figure that has a budget; bars that cross the line miss it.">\n<style>{2}</style>\n'
            '{3}\n</svg>\n').format(wide, high, STYLE, '\n'.join(head + out))
