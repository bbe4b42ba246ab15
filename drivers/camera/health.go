package camera

import (
	"fmt"
	"time"

	"watchpost/drivers"
	"watchpost/storage/ring"
)

// Health is how a camera's stream stands.
type Health struct {
	// State is StateUnknown, StateUp or StateDown; Since is when it began.
	State string
	Since time.Time
	// Reason and Detail say why the camera is down, empty when it is not.
	Reason, Detail string
	// Failures counts attempts and sessions that failed since the camera was last up.
	Failures uint64
	// Pulled says that the camera is being pulled now, or tried; Leases counts who wants it.
	Pulled bool
	Leases int
	// Width and Height in pixels, 0 when the camera's parameter set could not be read; Format such as "H.264 main 3.1".
	Width, Height int
	Format        string
	// BitRate in bit/s, FrameRate in 1/s and GOP are those of the last GOP; zero while not pulled.
	BitRate   int
	FrameRate float64
	GOP       time.Duration
	// BFrames says that pictures come in another order than they are shown.
	BFrames bool
	// LastUnit is when the last picture came.
	LastUnit time.Time
	// Units, Packets (as cut here), Bytes and Lost (packets of the camera) since the station started.
	Units, Packets, Bytes, Lost uint64
	// Held is what the ring holds.
	Held ring.Stats
}

// idle forgets what only a stream in progress can say. mu is held.
func (h *Health) idle() {
	h.BitRate, h.FrameRate, h.GOP = 0, 0, 0
}

// Health returns how the stream stands now.
func (c *Camera) Health() Health {
	held := c.ring.Stats()
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.health
	h.Held, h.Leases, h.Pulled = held, c.leases, c.release != nil
	return h
}

// present is how old the last picture of a camera that is up may be.
const present = 15 * time.Second

// Snapshot gives the reading of this camera. What was up is not called so when nothing is known of the present.
func (c *Camera) Snapshot() []drivers.Reading {
	h := c.Health()
	r := drivers.Reading{Name: c.options.ID, State: h.State, Since: h.Since}
	switch {
	case h.State == StateDown:
		r.Text = h.Detail
	case h.State == StateUp && !h.Pulled:
		r.State = StateIdle
		r.Text = fmt.Sprintf("%d×%d %s, not pulled, last picture %s", h.Width, h.Height, h.Format, h.LastUnit.UTC().Format(time.RFC3339))
	case h.State == StateUp && c.options.Now().Sub(h.LastUnit) > present:
		r.State, r.Text = StateUnknown, "no picture yet, last one "+h.LastUnit.UTC().Format(time.RFC3339)
	case h.State == StateUp:
		r.Text = fmt.Sprintf("%d×%d %s, %.1f fps, %d kbit/s", h.Width, h.Height, h.Format, h.FrameRate, h.BitRate/1000)
	}
	return []drivers.Reading{r}
}
