package e2e

import (
	"errors"
	"testing"

	"watchpost/storage/event"
)

var errNoReceipt = errors.New("the alarm is not receipted")

// TestE2EALineReachesTheScreen is the first way through the house: an edge on a wire becomes an open alarm of the centre.
func TestE2EALineReachesTheScreen(t *testing.T) { eachBroker(t, aLineReachesTheScreen) }

func aLineReachesTheScreen(t *testing.T, c *centre) {
	v := caoping(c).build(t)
	v.start()
	v.set("door", 1)
	e := c.awaitStored(v.id, "the door", zoneActive("door"))
	if e.KernelNS == 0 || e.Lane != event.LaneAlarm {
		t.Errorf("event without the kernel's time, or in lane %s: %+v", e.Lane, e)
	}
	a := c.login().awaitAlarm("of the door", func(a alarm) bool { return a.Zone == "door" })
	if a.Seq != e.Seq || a.Epoch != e.Epoch.String() {
		t.Errorf("alarm %+v is not event %s", a, e.Name())
	}
	t.Logf("stored after %s", age(e.At))
	eventually(t, "receipt at the station", func() error {
		st, err := v.door()
		if err == nil && st.Centres[0].Receipts["alarm"] < e.Seq {
			err = errNoReceipt
		}
		return err
	})
	checkOnce(t, c.stored(v.id))
}
