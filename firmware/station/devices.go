package station

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"watchpost/drivers/camera"
	"watchpost/drivers/dc09"
	"watchpost/firmware/config"
)

func newCamera(c config.Camera, log *slog.Logger, now func() time.Time) (*camera.Camera, error) {
	return camera.New(camera.Options{
		ID: c.ID, URL: c.URL, User: c.User, Password: c.Password, Always: c.Pull == "always", Linger: c.Linger,
		Log: log.With("camera", c.ID), Now: now,
	})
}

// wireCameras makes the cameras.
func (s *Station) wireCameras(o Options) error {
	for _, c := range s.config.Cameras {
		cam, err := newCamera(c, s.log, o.Now)
		if err != nil {
			return fmt.Errorf("camera %s: %w", c.ID, err)
		}
		s.cameras = append(s.cameras, cam)
	}
	return nil
}

// wirePanels makes the receiver for alarm panels, if there are any.
func (s *Station) wirePanels(o Options) error {
	if s.config.Panels.Listen == "" {
		return nil
	}
	var accounts []dc09.Account
	for _, a := range s.config.Panels.Accounts {
		key, err := panelKey(a)
		if err != nil {
			return fmt.Errorf("panels: account %s: %w", a.ID, err)
		}
		accounts = append(accounts, dc09.Account{ID: a.ID, Key: key, CRCOverCR: a.CRCOverCR, Zones: a.Zones, Supervision: a.Supervision})
	}
	receiver, err := dc09.New(dc09.Options{
		TCP: s.config.Panels.Listen, UDP: s.config.Panels.Listen, Accounts: accounts, Log: s.log.With("driver", "dc09"), Now: o.Now,
		Listening: o.Listening,
	})
	if err != nil {
		return fmt.Errorf("panels: %w", err)
	}
	s.receivers = append(s.receivers, receiver)
	return nil
}

func panelKey(a config.Account) (*dc09.Key, error) {
	switch {
	case a.KeyHex != "":
		return dc09.KeyHex(a.KeyHex)
	case a.KeyASCII != "":
		return dc09.KeyASCII(a.KeyASCII)
	}
	return nil, nil
}

// errNoCamera is what a viewing of a camera that is not there gets.
var errNoCamera = errors.New("this station has no such camera")

// leaseCamera asks for the pictures of the camera that a command names.
func (s *Station) leaseCamera(id, profile string) (*camera.Lease, error) {
	for _, c := range s.cameras {
		if c.String() == "camera/"+id && cmp.Or(profile, c.Profile()) == c.Profile() {
			return c.Acquire(), nil
		}
	}
	return nil, fmt.Errorf("camera %q, profile %q: %w", id, profile, errNoCamera)
}
