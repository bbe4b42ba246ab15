package camera

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"watchpost/drivers/rtsp"
	"watchpost/drivers/rtsp/h264"
	"watchpost/storage/event"
)

// Reasons for which a camera is down, as they stand in TagReason.
const (
	reasonUnreachable = "unreachable" // no connection
	reasonPassword    = "password"    // user or password refused
	reasonFormat      = "not_h264"    // another codec
	reasonRefused     = "refused"     // the camera answers with an error
	reasonEnded       = "ended"       // the camera ended the stream
	reasonBroken      = "broken"      // the connection broke, or nothing came any more
)

// supervise pulls whenever the camera is wanted, and waits between failures: 0.25 s first, doubling to 5 s,
// half of it by chance so that the cameras of a station do not come back all at once.
func (c *Camera) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		pull, cancel, ok := c.want(ctx)
		if !ok {
			select {
			case <-ctx.Done():
			case <-c.wake:
			}
			continue
		}
		c.pullUntilReleased(pull)
		cancel()
		c.mu.Lock()
		c.release = nil
		if c.leases == 0 && !c.options.Always {
			c.ring.Clear()
			c.health.idle()
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.linger != nil {
		c.linger.Stop()
	}
}

func (c *Camera) pullUntilReleased(ctx context.Context) {
	wait := c.options.Retry
	for ctx.Err() == nil {
		begun := time.Now()
		key, err := c.pull(ctx)
		if ctx.Err() != nil {
			return
		}
		if key && time.Since(begun) > c.options.RetryMax { // one that hangs up at once is none that came back
			wait = c.options.Retry
		}
		c.down(err)
		pause := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
		wait = min(2*wait, c.options.RetryMax)
	}
}

// pull runs one session; key says whether it brought a picture.
func (c *Camera) pull(ctx context.Context) (key bool, err error) {
	s, err := c.client.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		if cerr := s.Close(); cerr != nil {
			c.options.Log.Debug("closing the camera's connection", "source", c.String(), "err", cerr)
		}
	}()
	m := s.Media()
	f := &feed{camera: c, begun: c.options.Now(), rate: m.ClockRate, sps: m.SPS, pps: m.PPS}
	err = s.Play(ctx, f.unit)
	if err == nil && ctx.Err() == nil {
		err = rtsp.ErrEnded
	}
	return f.started, err
}

// reason sorts an error into one of the words above.
func reason(err error) string {
	var codec *rtsp.CodecError
	var status *rtsp.StatusError
	var op *net.OpError
	switch {
	case errors.As(err, &codec):
		return reasonFormat
	case errors.Is(err, rtsp.ErrUnauthorized):
		return reasonPassword
	case errors.As(err, &status):
		return reasonRefused
	case errors.Is(err, rtsp.ErrEnded):
		return reasonEnded
	case errors.As(err, &op) && op.Op == "dial":
		return reasonUnreachable
	default:
		return reasonBroken
	}
}

// down counts a failure, and tells it when the camera was up or fails in a way not told since.
func (c *Camera) down(err error) {
	why := reason(err)
	now := c.options.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	previous := c.health.State
	c.health.Failures++
	c.health.Reason, c.health.Detail = why, err.Error()
	if previous != StateDown {
		c.health.State, c.health.Since, c.downAt = StateDown, now, now
	}
	c.tell.add(c.damper.still(now)...)
	if c.blamed[why] {
		return
	}
	c.blamed[why] = true
	c.tell.add(c.damper.change(c.draft(event.QualifierNew, event.SeverityWarning, StateDown,
		event.Text(event.TagPrevious, previous), event.Text(event.TagReason, why), event.Text(event.TagDetail, clip(err.Error()))), now)...)
}

// up tells that pictures come: when they did not before, or when they look different now.
func (c *Camera) up(info h264.Info) {
	now := c.options.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	previous, before := c.health.State, c.info
	c.tell.add(c.damper.still(now)...)
	if previous == StateUp && before == info {
		return
	}
	fields := []event.Field{event.Text(event.TagPrevious, previous), event.Text(event.TagFormat, "h264"),
		event.Uint(event.TagWidth, uint64(info.Width)), event.Uint(event.TagHeight, uint64(info.Height)),
		event.Text(event.TagDetail, "H.264 "+info.String())}
	qualifier := event.QualifierStatus
	switch {
	case previous == StateDown:
		qualifier = event.QualifierRestore
		fields = append(fields, event.Uint(event.TagCount, c.health.Failures), event.Uint(event.TagDuration, uint64(max(now.Sub(c.downAt), 0))))
	case previous == StateUp:
		fields = append(fields, event.Text(event.TagReason, "format_changed"),
			event.Text(event.TagText, fmt.Sprintf("%d×%d before", before.Width, before.Height)))
	}
	if before != info {
		c.warnedB = false
	}
	c.info = info
	c.health.State, c.health.Since, c.health.Failures = StateUp, now, 0
	c.health.Reason, c.health.Detail = "", ""
	c.health.Width, c.health.Height, c.health.Format = info.Width, info.Height, "H.264 "+info.String()
	clear(c.blamed)
	c.tell.add(c.damper.change(c.draft(qualifier, event.SeverityNotice, StateUp, fields...), now)...)
}

// reordered tells, once per format, that the stream has B-frames.
func (c *Camera) reordered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health.BFrames = true
	if c.warnedB {
		return
	}
	c.warnedB = true
	c.tell.add(c.draft(event.QualifierNew, event.SeverityWarning, StateDegraded, event.Text(event.TagPrevious, StateUp),
		event.Text(event.TagReason, "b_frames"), event.Text(event.TagDetail, "camera sends B-frames, which browsers show jerking: set baseline or -bf 0")))
}

// draft makes a camera.state event.
func (c *Camera) draft(q event.Qualifier, s event.Severity, state string, fields ...event.Field) event.Draft {
	fields = append(fields, event.Text(event.TagState, state), event.Text(event.TagCamera, c.options.ID), event.Text(event.TagProfile, c.options.Profile))
	return event.Draft{At: c.options.Now(), Kind: event.KindCameraState, Qualifier: q, Severity: s, Source: c.String(), Body: event.NewBody(fields...)}
}

// clip bounds a text that may hold what a camera sent.
func clip(s string) string {
	const most = 300
	out := make([]rune, 0, min(len(s), most))
	for _, r := range s { // what is not UTF-8 becomes U+FFFD
		if len(out) == most {
			break
		}
		if r < ' ' {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}
