package camera

import "testing"

// width is how many pixels of the widest row differ from black.
func width(f *Frame) (widest int) {
	for y := range f.Height {
		left, right := f.Width, -1
		for x := range f.Width {
			if f.Y[y*f.Width+x] > 30 {
				left, right = min(left, x), max(right, x)
			}
		}
		widest = max(widest, right-left+1)
	}
	return widest
}

func TestCarGrowsWithItsScale(t *testing.T) {
	c := newCar(mustLettering(t), "浙H12345", rgb(200, 30, 30), 1)
	before := 0
	var work []ink
	for _, k := range []float32{0.1, 0.2, 0.4, 0.6, 1, 1.5} {
		f := NewFrame(480, 272)
		work = c.draw(f, 240, 200, k, work)
		got := width(f)
		if got <= before || float32(got) > (carRight-carLeft)*k+4 {
			t.Errorf("at %.1f the car is %d pixels wide, before %d", k, got, before)
		}
		before = got
	}
	f := NewFrame(480, 272)
	c.draw(f, 240, 200, 0.01, nil)
	if width(f) != 0 {
		t.Error("a car too far to see is drawn")
	}
}

func TestCarAtTheEdges(t *testing.T) {
	c := newCar(mustLettering(t), "浙H12345", rgb(200, 30, 30), 1)
	for at, seen := range map[[2]float32]bool{{0, 40}: true, {479, 271}: true, {-30, 300}: true, {-500, 100}: false, {240, 900}: false} {
		f := NewFrame(480, 272)
		c.draw(f, at[0], at[1], 1.3, nil)
		if got := width(f) > 0; got != seen {
			t.Errorf("at %v the car is seen: %v, want %v", at, got, seen)
		}
	}
}
