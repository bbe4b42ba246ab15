//lint:pure

package modbus

import (
	"cmp"
	"slices"
	"time"
)

// point is something to read: one bit, or the one or two registers of a value.
type point struct {
	unit     byte
	function Function
	first    int // address
	count    int
	take     func(Answer, error) // with what was read at the point alone
}

// job is one request and the points that it reads.
type job struct {
	unit    byte
	request Request
	points  []point

	fails   int           // on end
	pause   time.Duration // of a missing one, until it is asked again
	retryAt time.Time
}

func (j *job) missing() bool { return j.fails >= lostAfter }

// mostAtOnce is how many bits or registers one request reads.
func mostAtOnce(f Function) int {
	if f <= ReadDiscreteInputs {
		return MaxReadBits
	}
	return MaxReadRegisters
}

// plan merges points that touch or overlap into as few requests as the standard allows, in the order of units, functions and
// addresses. It never reads what lies between points: a slave refuses a whole request for one address that it has not.
func plan(points []point) []*job {
	points = slices.Clone(points)
	slices.SortStableFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.unit, b.unit), cmp.Compare(a.function, b.function), cmp.Compare(a.first, b.first))
	})
	var jobs []*job
	for _, p := range points {
		if len(jobs) > 0 && jobs[len(jobs)-1].join(p) {
			continue
		}
		jobs = append(jobs, alone(p))
	}
	return jobs
}

func alone(p point) *job {
	return &job{unit: p.unit, points: []point{p}, request: Request{Function: p.function, Address: uint16(p.first), Count: uint16(p.count)}}
}

// join takes the point in if it touches.
func (j *job) join(p point) bool {
	first, end := int(j.request.Address), int(j.request.Address)+int(j.request.Count)
	grown := max(end, p.first+p.count)
	if p.unit != j.unit || p.function != j.request.Function || p.first > end || grown-first > mostAtOnce(p.function) {
		return false
	}
	j.request.Count, j.points = uint16(grown-first), append(j.points, p)
	return true
}

// split is a job for each point, for a slave that refuses one of them.
func (j *job) split() []*job {
	var jobs []*job
	for _, p := range j.points {
		jobs = append(jobs, alone(p))
	}
	return jobs
}

// deliver gives each point its part of the answer, or the error.
func (j *job) deliver(a Answer, err error) {
	for _, p := range j.points {
		at, part := p.first-int(j.request.Address), Answer{}
		switch {
		case err != nil:
		case j.request.Function <= ReadDiscreteInputs:
			part.Bits = a.Bits[at : at+p.count]
		default:
			part.Registers = a.Registers[at : at+p.count]
		}
		p.take(part, err)
	}
}
