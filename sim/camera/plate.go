package camera

import (
	"fmt"
	"unicode/utf8"
)

// A plate of the mainland has one character of the province, one letter of the
// city and five letters or digits, white on blue; an electric car has six, black
// on green (GA 36-2018).
const (
	plateShort  = 7
	plateLong   = 8
	plateHeight = 32
	platePad    = 6
	plateFirst  = 25
	plateLetter = 18
	plateDot    = 7
)

// checkPlate tells whether the camera can draw the plate.
func checkPlate(l lettering, plate string) error {
	if n := utf8.RuneCountInString(plate); n != plateShort && n != plateLong {
		return fmt.Errorf("plate %q has %d characters: 7 are needed, or 8 for an electric car, for example 浙H12345", plate, n)
	}
	return l.check(plate)
}

// plateWidth is the width in units of a drawn plate.
func plateWidth(plate string) float32 {
	return 2*platePad + plateFirst + plateDot + float32(utf8.RuneCountInString(plate)-1)*plateLetter - 3
}

// drawPlate draws the plate into c, its upper left corner at (x, y), k times the
// natural size of plateWidth x plateHeight units.
func drawPlate(c *canvas, l lettering, plate string, x, y, k float32) {
	w := plateWidth(plate)
	ground, writing := flat(rgb(18, 62, 168)), flat(rgb(240, 244, 250))
	if utf8.RuneCountInString(plate) == plateLong {
		ground = vertical(rgb(226, 240, 226), rgb(56, 178, 88), y, y+plateHeight*k)
		writing = flat(rgb(16, 20, 18))
	}
	c.rect(x, y, x+w*k, y+plateHeight*k, writing)
	c.rect(x+1*k, y+1*k, x+(w-1)*k, y+(plateHeight-1)*k, ground)
	at := float32(platePad)
	for i, r := range []rune(plate) {
		switch i {
		case 0:
			l.write(c, r, x+at*k, y+4*k, 24*k, 24*k, writing)
			at += plateFirst
			continue
		case 2:
			c.oval(x+(at+1.5)*k, y+16*k, 2*k, 2*k, writing)
			at += plateDot
		}
		l.write(c, r, x+at*k, y+5.5*k, 15*k, 21*k, writing)
		at += plateLetter
	}
}
