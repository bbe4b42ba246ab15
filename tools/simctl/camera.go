package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"watchpost/sim/camera"
)

// cameraCommand is an IP camera.
type cameraCommand struct {
	Listen   string        `default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Address of the RTSP server; port 0 takes a free one."`
	Path     string        `default:"/main" help:"Path of the stream."`
	User     string        `help:"Who may look; without it everybody may."`
	Password string        `help:"The user's password."`
	Digest   string        `enum:"both,md5,sha256" default:"both" help:"Digest algorithms to offer: ${enum}."`
	Size     string        `default:"480x272" placeholder:"WxH" help:"Picture size, multiples of 16, from 176x144 to 1280x720."`
	FPS      int           `name:"fps" default:"15" help:"Pictures per second."`
	GOP      time.Duration `name:"gop" default:"2s" help:"Time from one whole picture to the next."`
	Plate    string        `default:"浙H12345" help:"Plate of the car: 浙 or 赣, a letter, five or six letters or digits."`
	Name     string        `default:"VILLAGE GATE" help:"Name shown in the picture."`
	Timeout  time.Duration `default:"60s" help:"A client that says nothing for so long is dropped."`
	Fault    []string      `placeholder:"FAULT" help:"A defect, may be repeated: no-marker, no-sprop, hevc, close-after=N, stall-after=N, resize-after=N:WxH (N pictures)."`
}

// Help is shown below the flags.
func (cameraCommand) Help() string {
	return `It prints "rtsp URL" and then "ready". The picture is H.264 Constrained Baseline and shows a counter, a clock, a car with its
plate, and along the lower edge the time of capture as 34 dark or light blocks (see sim/camera, timecode.go).

For example:

  simctl camera --user u --password p --size 640x368 --fps 25
  ffplay -rtsp_transport tcp rtsp://u:p@127.0.0.1:PORT/main`
}

// Run serves the camera.
func (c *cameraCommand) Run(ctx context.Context, d deps) error {
	o := camera.Options{
		Path: c.Path, User: c.User, Password: c.Password, Digest: camera.Digest(c.Digest),
		FPS: c.FPS, GOP: c.GOP, Plate: c.Plate, Name: c.Name, Timeout: c.Timeout, Log: d.log,
	}
	var err error
	if o.Width, o.Height, err = camera.ParseSize(c.Size); err != nil {
		return usageError{err}
	}
	for _, fault := range c.Fault {
		if err := o.Faults.Set(fault); err != nil {
			return usageError{err}
		}
	}
	cam, err := camera.New(o)
	if err != nil {
		return usageError{err}
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening for viewers: %w", err)
	}
	fmt.Fprintf(d.stdout, "rtsp %s\nready\n", cam.URL(ln.Addr()))
	return cam.Serve(ctx, ln)
}
