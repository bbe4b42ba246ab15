package modbus

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestPlan writes down what is merged.
func TestPlan(t *testing.T) {
	at := func(unit byte, f Function, first, count int) point {
		return point{unit: unit, function: f, first: first, count: count}
	}
	var row []point
	for i := range 130 {
		row = append(row, at(1, 3, i, 1))
	}
	for name, c := range map[string]struct {
		points []point
		want   string
	}{
		"nothing":           {nil, ""},
		"one":               {[]point{at(1, 2, 5, 1)}, "1:2@5+1 "},
		"in a row":          {[]point{at(1, 2, 6, 1), at(1, 2, 5, 1), at(1, 2, 7, 1)}, "1:2@5+3 "},
		"a hole":            {[]point{at(1, 2, 5, 1), at(1, 2, 7, 1)}, "1:2@5+1 1:2@7+1 "},
		"the same twice":    {[]point{at(1, 3, 5, 2), at(1, 3, 5, 1), at(1, 3, 6, 1)}, "1:3@5+2 "},
		"other tables":      {[]point{at(1, 3, 5, 1), at(1, 4, 6, 1)}, "1:3@5+1 1:4@6+1 "},
		"other units":       {[]point{at(2, 3, 5, 1), at(1, 3, 6, 1)}, "1:3@6+1 2:3@5+1 "},
		"125 at most":       {row, "1:3@0+125 1:3@125+5 "},
		"no value is split": {append(append([]point{}, row[:124]...), at(1, 3, 124, 2)), "1:3@0+124 1:3@124+2 "},
		"the last address":  {[]point{at(1, 1, 65535, 1), at(1, 1, 65534, 1)}, "1:1@65534+2 "},
	} {
		got := ""
		for _, j := range plan(c.points) {
			got += fmt.Sprintf("%d:%d@%d+%d ", j.unit, j.request.Function, j.request.Address, j.request.Count)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestPlanDelivers asks a slave for what a plan says, and holds that each point gets exactly what is at its address, whole or
// split, and that no request reads what no point wants.
func TestPlanDelivers(t *testing.T) {
	s := newTestSlave()
	rapid.Check(t, func(r *rapid.T) {
		var points []point
		got, wanted := map[int]string{}, map[string]bool{}
		n := rapid.IntRange(1, 60).Draw(r, "points")
		for i := range n {
			f := rapid.SampledFrom([]Function{2, 4}).Draw(r, "function")
			p := point{unit: byte(rapid.IntRange(1, 2).Draw(r, "unit")), function: f, first: rapid.IntRange(0, 300).Draw(r, "first"), count: 1}
			if f == ReadInputRegisters {
				p.count = rapid.IntRange(1, 2).Draw(r, "count")
			}
			for k := range p.count {
				wanted[fmt.Sprint(p.unit, f, p.first+k)] = true
			}
			p.take = func(a Answer, err error) { got[i] = fmt.Sprint(a.Bits, a.Registers, err) }
			points = append(points, p)
		}
		jobs := plan(points)
		if rapid.Bool().Draw(r, "split") {
			var split []*job
			for _, j := range jobs {
				split = append(split, j.split()...)
			}
			jobs = split
		}
		for _, j := range jobs {
			for k := range int(j.request.Count) {
				if !wanted[fmt.Sprint(j.unit, j.request.Function, int(j.request.Address)+k)] {
					r.Fatalf("reads %d of %+v, which nobody wants", int(j.request.Address)+k, j.request)
				}
			}
			pdu, err := j.request.Append(nil)
			if err != nil {
				r.Fatal(err)
			}
			j.deliver(j.request.Answer(s.answer(pdu)))
		}
		for i, p := range points {
			want := fmt.Sprint([]bool{s.inputs[p.first]}, []uint16(nil), nil)
			if p.function == ReadInputRegisters {
				want = fmt.Sprint([]bool(nil), s.input[p.first:p.first+p.count], nil)
			}
			if got[i] != want {
				r.Fatalf("point %+v got %s, want %s", p, got[i], want)
			}
		}
	})
}
