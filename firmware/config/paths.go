package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"watchpost/firmware/status"
)

// maxSocket is the longest path of a Unix socket in bytes (unix(7): sun_path, with its NUL).
const maxSocket = 107

// validateSockets complains of paths that the kernel takes for no socket. They must be anchored.
func (c *Config) validateSockets(s *sheet) {
	const suffix = len(".new") // the door is made under another name first
	if path := filepath.Join(c.Data, status.Socket); len(path)+suffix > maxSocket {
		s.add("data", "%s is too long for the local door in it: at most %d bytes", c.Data, maxSocket-suffix-len("/"+status.Socket))
	}
	for i, b := range c.Boards {
		if len(b.Socket) > maxSocket {
			s.add(fmt.Sprintf("boards[%d].socket", i), "%s is too long for a Unix socket: at most %d bytes", b.Socket, maxSocket)
		}
	}
}

// anchor makes relative paths start at dir.
func (c *Config) anchor(dir string) {
	abs := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	abs(&c.Data)
	abs(&c.Log.KeyFile)
	for i := range c.Boards {
		abs(&c.Boards[i].Socket)
	}
	for i := range c.Cameras {
		abs(&c.Cameras[i].PasswordFile)
	}
	for i := range c.Receivers {
		abs(&c.Receivers[i].CA)
		abs(&c.Receivers[i].Certificate)
		abs(&c.Receivers[i].PrivateKey)
	}
	for i := range c.Centres {
		abs(&c.Centres[i].CA)
		abs(&c.Centres[i].Certificate)
		abs(&c.Centres[i].Key)
	}
}

// readFiles takes in what the configuration keeps in files of its own.
func (c *Config) readFiles(s *sheet) {
	if c.Log.KeyFile != "" {
		key, err := readKey(c.Log.KeyFile)
		if err != nil {
			s.add("log.key_file", "%v", err)
		}
		c.Log.Key = key
	}
	for i := range c.Cameras {
		v := &c.Cameras[i]
		if v.PasswordFile == "" {
			continue
		}
		b, err := os.ReadFile(v.PasswordFile)
		if err != nil {
			s.add(fmt.Sprintf("cameras[%d].password_file", i), "%v: put the password there, or write it under password", err)
			continue
		}
		v.Password = strings.TrimRight(string(b), "\r\n")
	}
}
