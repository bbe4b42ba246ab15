package camera

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// font5x7 holds letters of five columns and seven rows: a letter, then its rows
// from the top in hex, the leftmost column as the bit of value 16.
const font5x7 = `
0 0E 11 13 15 19 11 0E
1 04 0C 04 04 04 04 0E
2 0E 11 01 02 04 08 1F
3 1F 02 04 02 01 11 0E
4 02 06 0A 12 1F 02 02
5 1F 10 1E 01 01 11 0E
6 06 08 10 1E 11 11 0E
7 1F 01 02 04 08 08 08
8 0E 11 11 0E 11 11 0E
9 0E 11 11 0F 01 02 0C
A 0E 11 11 1F 11 11 11
B 1E 11 11 1E 11 11 1E
C 0E 11 10 10 10 11 0E
D 1C 12 11 11 11 12 1C
E 1F 10 10 1E 10 10 1F
F 1F 10 10 1E 10 10 10
G 0E 11 10 17 11 11 0F
H 11 11 11 1F 11 11 11
I 0E 04 04 04 04 04 0E
J 07 02 02 02 02 12 0C
K 11 12 14 18 14 12 11
L 10 10 10 10 10 10 1F
M 11 1B 15 15 11 11 11
N 11 11 19 15 13 11 11
O 0E 11 11 11 11 11 0E
P 1E 11 11 1E 10 10 10
Q 0E 11 11 11 15 12 0D
R 1E 11 11 1E 14 12 11
S 0F 10 10 0E 01 01 1E
T 1F 04 04 04 04 04 04
U 11 11 11 11 11 11 0E
V 11 11 11 11 11 0A 04
W 11 11 11 15 15 1B 11
X 11 11 0A 04 0A 11 11
Y 11 11 11 0A 04 04 04
Z 1F 01 02 04 08 10 1F
- 00 00 00 1F 00 00 00
: 00 0C 0C 00 0C 0C 00
. 00 00 00 00 00 0C 0C
/ 00 01 02 04 08 10 00
# 0A 0A 1F 0A 1F 0A 0A
`

// provinces holds the first character of the plates of the two provinces at the
// border, as pen strokes on a square of 24 units: a character, the width of the
// pen, then strokes between semicolons, each a chain of points.
const provinces = `
浙 2.1 2,3 5,6; 1,9.5 4,12.5; 1.5,21.5 6,14; 7,7.5 14,6.5; 11,2 11,21 8.5,19.5; 7,16 14.5,12.5; 22,2 16.5,5; 16.5,5 16.5,13 14,22; 16.5,10.5 23.3,10.5; 20.3,10.5 20.3,22.5
赣 1.5 6,0.8 6,3; 1.6,3.6 10.4,3.6; 4,5.2 4.7,7.6; 8,5.2 7.3,7.6; 0.8,8.8 11.2,8.8; 2.6,11.3 9.4,11.3 9.4,17.2 2.6,17.2 2.6,11.3; 2.6,14.2 9.4,14.2; 0.6,19.8 11.4,19.8; 6,17.2 6,23.3; 15.4,0.8 12.6,5; 14.6,2.8 21.4,2.8 17.6,6.6 12.6,8.8; 15.2,4.6 18,7 23,8.6; 14,10.8 22,10.8; 18,10.8 18,13.6; 12.8,13.6 23.2,13.6; 14.4,20.2 14.4,15.8 21.6,15.8 21.6,20.2; 18,17.2 17.4,20.4 13,23.2; 19.2,20.6 22.8,23
`

const (
	glyphWidth  = 5
	glyphHeight = 7
	strokeUnits = 24
)

// lettering is what the camera can write.
type lettering struct {
	letters map[rune][glyphHeight]byte
	strokes map[rune]penned
}

// penned is a character as pen strokes.
type penned struct {
	pen   float32
	lines [][]point
}

// newLettering reads the two tables above.
func newLettering() (lettering, error) {
	l := lettering{letters: map[rune][glyphHeight]byte{' ': {}}, strokes: map[rune]penned{}}
	for line := range strings.Lines(strings.TrimSpace(font5x7)) {
		words := strings.Fields(line)
		if len(words) != glyphHeight+1 {
			return l, fmt.Errorf("reading the font: %q has no %d rows", line, glyphHeight)
		}
		var rows [glyphHeight]byte
		for i, word := range words[1:] {
			v, err := strconv.ParseUint(word, 16, glyphWidth)
			if err != nil {
				return l, fmt.Errorf("reading the font: %q: %w", line, err)
			}
			rows[i] = byte(v)
		}
		l.letters[[]rune(words[0])[0]] = rows
	}
	for line := range strings.Lines(strings.TrimSpace(provinces)) {
		head := strings.SplitN(strings.TrimSpace(line), " ", 3)
		p, err := readStrokes(head[1], head[2])
		if err != nil {
			return l, fmt.Errorf("reading the strokes of %s: %w", head[0], err)
		}
		l.strokes[[]rune(head[0])[0]] = p
	}
	return l, nil
}

func readStrokes(pen, text string) (penned, error) {
	width, err := strconv.ParseFloat(pen, 32)
	if err != nil {
		return penned{}, err
	}
	p := penned{pen: float32(width)}
	for stroke := range strings.SplitSeq(text, ";") {
		var chain []point
		for _, word := range strings.Fields(stroke) {
			var q point
			if _, err := fmt.Sscanf(word, "%g,%g", &q.x, &q.y); err != nil {
				return penned{}, fmt.Errorf("point %q: %w", word, err)
			}
			chain = append(chain, q)
		}
		p.lines = append(p.lines, chain)
	}
	return p, nil
}

// check tells which character of a text cannot be written.
func (l lettering) check(text string) error {
	for _, r := range text {
		_, letter := l.letters[unicode.ToUpper(r)]
		_, stroke := l.strokes[r]
		if !letter && !stroke {
			return fmt.Errorf("%q has %q, which this camera cannot draw: use A-Z, 0-9, space, - : . / #, 浙 and 赣", text, r)
		}
	}
	return nil
}

// osd writes text of the 5x7 font straight into a picture: white with a dark
// rim, each dot size x size pixels, the upper left corner at (x, y).
func (l lettering) osd(f *Frame, text string, x, y, size int) {
	for pass, luma := range [2]byte{24, 232} {
		rim := (1 - pass) * max(1, size/2)
		at := x
		for _, r := range text {
			for row, dots := range l.letters[unicode.ToUpper(r)] {
				for col := range glyphWidth {
					if dots>>(glyphWidth-1-col)&1 == 1 {
						f.box(at+col*size-rim, y+row*size-rim, size+2*rim, size+2*rim, luma)
					}
				}
			}
			at += (glyphWidth + 1) * size
		}
	}
}

// write draws one character into the box of the given corner and size: letters
// by their dots, the characters of the provinces by their strokes.
func (l lettering) write(c *canvas, r rune, x, y, w, h float32, p paint) {
	if pen, ok := l.strokes[r]; ok {
		kx, ky := w/strokeUnits, h/strokeUnits
		for _, chain := range pen.lines {
			for i := 1; i < len(chain); i++ {
				a, b := chain[i-1], chain[i]
				c.line(point{x + a.x*kx, y + a.y*ky}, point{x + b.x*kx, y + b.y*ky}, pen.pen*min(kx, ky), p)
			}
		}
		return
	}
	kx, ky := w/glyphWidth, h/glyphHeight
	for row, dots := range l.letters[unicode.ToUpper(r)] {
		for col := range glyphWidth {
			if dots>>(glyphWidth-1-col)&1 == 1 {
				c.rect(x+float32(col)*kx, y+float32(row)*ky, x+float32(col+1)*kx, y+float32(row+1)*ky, p)
			}
		}
	}
}
