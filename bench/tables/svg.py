"""A few shapes as SVG text: no library draws so few so small."""

from html import escape

INK, SOFT, LINE = "#1f2933", "#616e7c", "#cbd2d9"
MAIN, WARM, PALE, WARM_PALE = "#00796b", "#c2410c", "#d9efec", "#fde8dc"
TINTS = ("#00796b", "#c2410c", "#4338ca", "#a16207", "#be185d", "#0369a1")


class Drawing:
    """Shapes on white paper, so that a dark page shows them too."""

    def __init__(self, width, height, title):
        self.size, self.title, self.parts = (width, height), title, []

    def text(self, x, y, words, size=15, anchor="start", fill=INK, weight=400, mono=False):
        family = "ui-monospace, monospace" if mono else "system-ui, sans-serif"
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{fill}" font-weight="{weight}" font-family="{family}">{escape(words)}</text>'
        )

    def box(self, x, y, width, height, fill="none", stroke=LINE, radius=4, line=1.5):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'rx="{radius}" fill="{fill}" stroke="{stroke}" stroke-width="{line}"/>'
        )

    def line(self, points, stroke=INK, width=1.5, dashes=None, fill="none"):
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(
            f'<polyline points="{places}" fill="{fill}" stroke="{stroke}" '
            f'stroke-width="{width}"{dashed}/>'
        )

    def arrow(self, start, stop, stroke=INK, width=2):
        (x, y), (u, v) = start, stop
        length = max(((u - x) ** 2 + (v - y) ** 2) ** 0.5, 1e-9)
        a, b = (u - x) / length, (v - y) / length
        back = (u - 9 * a, v - 9 * b)
        self.line([start, back], stroke, width)
        head = [
            (u, v),
            (back[0] - 4.5 * b, back[1] + 4.5 * a),
            (back[0] + 4.5 * b, back[1] - 4.5 * a),
        ]
        places = " ".join(f"{p:.1f},{q:.1f}" for p, q in head)
        self.parts.append(f'<polygon points="{places}" fill="{stroke}"/>')

    def dot(self, x, y, radius=3.0, fill=INK, stroke="none", opacity=1.0):
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" stroke="{stroke}" '
            f'stroke-width="1.5" opacity="{opacity}"/>'
        )

    def save(self, path):
        width, height = self.size
        paper = f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>'
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img">\n<title>{escape(self.title)}</title>\n'
            + "\n".join([paper, *self.parts])
            + "\n</svg>\n"
        )
