package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

func (c *Config) validatePanels(s *sheet, cameras []string) {
	if c.Panels.Listen == "" {
		if len(c.Panels.Accounts) > 0 {
			s.add("panels.listen", "missing: accounts are there, but no address to listen on")
		}
		return
	}
	s.hostPort("panels.listen", c.Panels.Listen)
	seen := map[string]bool{}
	for i, a := range c.Panels.Accounts {
		key := fmt.Sprintf("panels.accounts[%d]", i)
		if !regexp.MustCompile(`^[0-9A-F]{3,16}$`).MatchString(a.ID) {
			s.add(key+".id", "%q: want 3 to 16 hex digits, in quotes", a.ID)
		} else if seen[a.ID] {
			s.add(key+".id", "%q is there twice", a.ID)
		}
		seen[a.ID] = true
		s.aesKey(key, a.KeyHex, a.KeyASCII)
		for number, name := range a.Zones {
			if name == "" || len(name) > 64 {
				s.add(key+".zones", "zone %q: want a name of 1 to 64 bytes", number)
			}
		}
		s.between(key+".supervision", a.Supervision, 0, 24*time.Hour)
		s.known(key+".camera", a.Camera, "camera", cameras)
	}
}

func aesLength(n int) bool { return n == 16 || n == 24 || n == 32 }

func (c *Config) validateCameras(s *sheet) []string {
	ids, seen := []string{}, map[string]bool{}
	for i, v := range c.Cameras {
		key := fmt.Sprintf("cameras[%d]", i)
		s.id(key+".id", v.ID, seen)
		ids = append(ids, v.ID)
		switch u, err := url.Parse(v.URL); {
		case v.URL == "":
			s.add(key+".url", "missing: want rtsp://HOST:PORT/PATH")
		case err != nil || u.Scheme != "rtsp" || u.Hostname() == "" || strings.ContainsAny(v.URL, " \t"):
			s.add(key+".url", "want rtsp://HOST:PORT/PATH")
		case u.User != nil:
			s.add(key+".url", "keep name and password out of the URL: use user and password_file")
		}
		if v.Password != "" && v.PasswordFile != "" {
			s.add(key+".password", "both password and password_file are given: keep one")
		}
		s.word(key+".pull", v.Pull, "on-demand", "always")
		s.between(key+".linger", v.Linger, 0, time.Hour)
	}
	return ids
}
