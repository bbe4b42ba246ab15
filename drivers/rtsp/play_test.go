package rtsp

import (
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"pgregory.net/rapid"
)

// A receiver report tells the highest number with its wraps and what is missing up to it (RFC 3550 6.4.1), whatever is lost,
// doubled or late, and begins anew with another source.
func TestReceiverReport(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := receiver{own: 9}
		for ssrc := uint32(1); ssrc <= 2; ssrc++ {
			first := uint32(rapid.Uint16().Draw(rt, "first"))
			saw := func(n uint32) { r.saw(&rtp.Header{SSRC: ssrc, SequenceNumber: uint16(n)}) }
			saw(first)
			last, lost := first, uint32(0)
			for range rapid.IntRange(0, 60).Draw(rt, "steps") {
				step := uint32(rapid.IntRange(1, 3000).Draw(rt, "step"))
				last, lost = last+step, lost+step-1
				saw(last)
				if lost > 0 && rapid.Bool().Draw(rt, "late") { // one comes after all, or a double, which looks the same
					saw(last - 1)
					lost--
				}
			}
			b, err := r.report()
			if err != nil {
				rt.Fatal(err)
			}
			var rr rtcp.ReceiverReport
			if err := rr.Unmarshal(b); err != nil {
				rt.Fatal(err)
			}
			if got := rr.Reports[0]; rr.SSRC != 9 || got.SSRC != ssrc || got.LastSequenceNumber != last || got.TotalLost != lost {
				rt.Fatalf("source %d from %d: %+v, want last %d and %d lost", ssrc, first, got, last, lost)
			}
		}
	})
}

// Before the first packet there is nothing to report on, and the report is empty, not missing: it keeps the camera sending.
func TestReceiverReportBeforeTheFirstPacket(t *testing.T) {
	b, err := (&receiver{own: 9}).report()
	var rr rtcp.ReceiverReport
	if err != nil || rr.Unmarshal(b) != nil || rr.SSRC != 9 || len(rr.Reports) != 0 {
		t.Errorf("%x, %+v, %v", b, rr, err)
	}
}
