package station

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"watchpost/firmware/config"
	"watchpost/firmware/status"
	"watchpost/storage/event"
	"watchpost/uplink/access"
	"watchpost/uplink/command"
	"watchpost/uplink/live"
	"watchpost/uplink/topic"
)

// viewings lets people of the centres look through this station's cameras: signed command, policy, audit, picture.
type viewings struct {
	station string
	in      *intake
	policy  access.Policy
	gallery *live.Gallery // nil where there is no camera
}

func newViewings(s *Station) (*viewings, error) {
	policy, err := policyOf(s.config)
	if err != nil {
		return nil, err
	}
	v := &viewings{station: s.config.Station.ID, in: s.in, policy: policy}
	if len(s.cameras) == 0 {
		return v, nil
	}
	c := s.config.Viewings
	v.gallery, err = live.New(live.Options{
		Source: cameraSource{s}, Audit: v.audit, Log: s.log, Now: s.clock.now,
		MaxViewings: c.Max, MaxDuration: c.MaxDuration, Loopback: c.Loopback, UDPPort: c.Port,
	})
	return v, err
}

// policyOf is the configuration's access rules as the policy that uplink/access decides by.
func policyOf(c *config.Config) (access.Policy, error) {
	var p access.Policy
	for i, r := range c.Access {
		rule := access.Rule{
			Name: "access[" + strconv.Itoa(i) + "]", Actions: []string{r.Action, string(access.ActionClose)}, Roles: r.Roles,
			Jurisdictions: r.Jurisdictions, Stations: []string{c.Station.ID}, Cameras: r.Cameras, PurposeRequired: true,
		}
		if len(rule.Cameras) == 0 {
			rule.Cameras = []string{access.Any}
		}
		var err error
		if rule.Hours, err = access.ParseHours(r.Hours); err != nil {
			return p, fmt.Errorf("%s: %w", rule.Name, err)
		}
		p.Rules = append(p.Rules, rule)
	}
	return p, p.Validate()
}

func (v *viewings) run(ctx context.Context) error { return v.gallery.Run(ctx) }

// errReplayed is what a viewing gets whose command was obeyed before, perhaps before a restart.
var errReplayed = errors.New("this command was obeyed before: ask anew")

// audit stores a viewing's entry. One that the log has already is a replayed command, and opens nothing.
func (v *viewings) audit(ctx context.Context, d event.Draft) error {
	repeat, err := v.in.append(ctx, d)
	if err == nil && repeat && d.Kind == event.KindViewingOpened {
		return errReplayed
	}
	return err
}

// handlers obey the viewing commands of one centre; the centre vouches for the person, who is of its jurisdiction.
func (v *viewings) handlers(centre string) map[string]command.Handler {
	return map[string]command.Handler{
		topic.CommandViewingOpen: func(ctx context.Context, cmd topic.Command) (any, error) {
			return v.open(ctx, centre, cmd)
		},
		topic.CommandViewingClose: func(_ context.Context, cmd topic.Command) (any, error) {
			return nil, v.close(cmd)
		},
	}
}

func (v *viewings) open(ctx context.Context, centre string, cmd topic.Command) (any, error) {
	var r topic.ViewingOpen
	if err := json.Unmarshal(cmd.Body, &r); err != nil {
		return nil, fmt.Errorf("reading the command's body: %w", err)
	}
	decision := access.Decide(v.policy, access.Request{
		Principal: r.Who, Role: r.Role, Jurisdiction: centre, Action: access.ActionView, Station: v.station,
		Camera: r.Camera, Purpose: r.Purpose, At: v.in.clock.now().Local(),
	})
	if !decision.Allow {
		return nil, errors.Join(command.Deny(decision.Reason), v.refused(ctx, cmd, r, decision.Reason))
	}
	if v.gallery == nil {
		return nil, errors.Join(command.Deny(errNoCamera.Error()), v.refused(ctx, cmd, r, errNoCamera.Error()))
	}
	answer, err := v.gallery.Open(ctx, live.Request{
		Viewing: r.Viewing, Command: cmd.ID, Camera: r.Camera, Profile: r.Profile, Offer: r.Offer,
		Who: r.Who, Role: r.Role, Purpose: r.Purpose,
	})
	if err != nil {
		return nil, err
	}
	return topic.ViewingAnswer{Viewing: r.Viewing, Answer: answer}, nil
}

// refused keeps the entry of a viewing that the policy denied.
func (v *viewings) refused(ctx context.Context, cmd topic.Command, r topic.ViewingOpen, why string) error {
	cut := func(s string) string { return strings.ToValidUTF8(s[:min(len(s), 500)], "�") }
	return v.in.store(ctx, event.Draft{
		Kind: event.KindViewingRefused, Qualifier: event.QualifierStatus, Severity: event.SeverityWarning, Source: sourceStation,
		Once: cmd.ID,
		Body: event.NewBody(event.Text(event.TagCommand, cmd.ID), event.Text(event.TagViewing, cut(r.Viewing)),
			event.Text(event.TagCamera, cut(r.Camera)), event.Text(event.TagWho, cut(r.Who)), event.Text(event.TagRole, cut(r.Role)),
			event.Text(event.TagPurpose, cut(r.Purpose)), event.Text(event.TagReason, "denied"), event.Text(event.TagDetail, why)),
	})
}

// close ends a viewing. Whoever may sign for the centre may end one: less is seen after it, not more.
func (v *viewings) close(cmd topic.Command) error {
	var r topic.ViewingClose
	if err := json.Unmarshal(cmd.Body, &r); err != nil {
		return fmt.Errorf("reading the command's body: %w", err)
	}
	if v.gallery == nil || !v.gallery.Close(r.Viewing, "by "+r.Who+": "+r.Reason) {
		return fmt.Errorf("viewing %.80q is not open", r.Viewing)
	}
	return nil
}

func (v *viewings) status() []status.Viewing {
	list := []status.Viewing{}
	if v.gallery == nil {
		return list
	}
	for _, x := range v.gallery.Snapshot() {
		list = append(list, status.Viewing{ID: x.ID, Camera: x.Camera, Who: x.Who, Role: x.Role, State: x.State, Since: x.Since, Packets: x.Packets})
	}
	return list
}

// cameraSource gives viewings the station's cameras.
type cameraSource struct{ s *Station }

// Open leases a camera for one viewing.
func (c cameraSource) Open(_ context.Context, id, profile string) (live.Stream, error) {
	return c.s.leaseCamera(id, profile)
}
