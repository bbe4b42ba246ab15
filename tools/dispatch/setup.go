package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"watchpost/tools/dispatch/authority"
	"watchpost/tools/dispatch/ledger"
	"watchpost/uplink/topic"
)

// initCommand makes a new centre.
type initCommand struct {
	Dir  string   `required:"" placeholder:"DIR" help:"The centre's directory; it is made if it is not there."`
	Name string   `default:"Watchpost" help:"The centre's name for people, shown on the page, such as 常山县 · 玉山县."`
	Host []string `placeholder:"NAME" help:"Names and addresses by which stations reach the broker, besides localhost. May be repeated."`
}

// Run makes the authority and the ledger.
func (c *initCommand) Run(ctx context.Context, d deps) error {
	if _, err := authority.Create(c.Dir, c.Host, time.Now()); err != nil {
		return err
	}
	if err := ledger.Create(ctx, c.Dir, c.Name); err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "centre %q is in %s\n", c.Name, c.Dir)
	return nil
}

// enrolCommand puts a station into the roster.
type enrolCommand struct {
	Dir          string   `required:"" placeholder:"DIR" help:"The centre's directory."`
	Jurisdiction string   `required:"" placeholder:"NAME" help:"The county police force that the station belongs to, such as changshan."`
	Station      string   `required:"" placeholder:"ID" help:"The station's id, such as cs-baishi-caoping."`
	Name         string   `required:"" help:"The village's name for people, such as 草坪村."`
	Latitude     *float64 `placeholder:"DEG" help:"Degrees north, WGS 84."`
	Longitude    *float64 `placeholder:"DEG" help:"Degrees east, WGS 84."`
	Broker       string   `default:"tls://127.0.0.1:8883" help:"Where the station reaches the broker; goes into centre.yaml."`
	Out          string   `required:"" placeholder:"DIR" help:"Where to write ca.pem, station.pem, station-key.pem, command.pub and centre.yaml."`
}

// Run issues the certificate and writes the station's files.
func (c *enrolCommand) Run(ctx context.Context, d deps) error {
	if (c.Latitude == nil) != (c.Longitude == nil) {
		return errors.New("give both --latitude and --longitude, or neither")
	}
	a, err := authority.Open(c.Dir)
	if err != nil {
		return err
	}
	name := authority.Name{Jurisdiction: c.Jurisdiction, Station: c.Station}
	if err := a.Enrol(c.Out, name, time.Now()); err != nil {
		return err
	}
	yaml := fmt.Sprintf(centreYAML, c.Jurisdiction, c.Broker, a.CommandPub())
	if err := renameio.WriteFile(filepath.Join(c.Out, "centre.yaml"), []byte(yaml), 0o644); err != nil {
		return fmt.Errorf("writing the station's centre.yaml: %w", err)
	}
	book, err := ledger.Open(ctx, c.Dir)
	if err != nil {
		return err
	}
	err = book.Enrol(ctx, ledger.Station{
		Address: topic.Address{Jurisdiction: c.Jurisdiction, Station: c.Station},
		Name:    c.Name, Latitude: c.Latitude, Longitude: c.Longitude, Enrolled: time.Now(),
	})
	if err := errors.Join(err, book.Close()); err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "station %s (%s) of %s is enrolled; its files are in %s\n", c.Station, c.Name, c.Jurisdiction, c.Out)
	return nil
}

// centreYAML is what a station's configuration needs to know of its centre.
const centreYAML = `# Goes into the station's configuration; the files lie beside it.
centres:
  - id: %s
    broker: %s
    ca: ca.pem
    certificate: station.pem
    key: station-key.pem
    command_key: %s
`

// userCommand lets a person log in.
type userCommand struct {
	Dir      string `required:"" placeholder:"DIR" help:"The centre's directory."`
	Name     string `arg:"" help:"The person's name, as it is to stand beside claims and acknowledgements."`
	Password string `help:"The password; without it one is made up and printed. '-' reads it from the first line of standard input."`
}

// Run sets the password.
func (c *userCommand) Run(ctx context.Context, d deps) error {
	password := c.Password
	switch password {
	case "":
		password = madeUpPassword()
	case "-":
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && line == "" {
			return fmt.Errorf("reading the password from standard input: %w", err)
		}
		password = strings.TrimRight(line, "\r\n")
	}
	book, err := ledger.Open(ctx, c.Dir)
	if err != nil {
		return err
	}
	if err := errors.Join(book.SetPassword(ctx, c.Name, password, time.Now()), book.Close()); err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "user %s\n", c.Name)
	if c.Password == "" {
		fmt.Fprintf(d.stdout, "password %s\n", password)
	}
	return nil
}

// madeUpPassword is 80 random bits in letters that are easy to read out.
func madeUpPassword() string {
	var b [10]byte
	rand.Read(b[:]) // never fails, by crypto/rand's contract
	s := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}
