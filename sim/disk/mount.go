//go:build !(386 || arm || mips || mipsle)

package disk

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// attach shows the disk at its mount point.
func (s *Server) attach() error {
	mount, err := fuse.NewServer(newFiles(s.store), s.opt.Mount, &fuse.MountOptions{
		AllowOther: true, DirectMountStrict: true, Options: []string{"default_permissions"},
		FsName: "disk", DisableXAttrs: true, DisableReadDirPlus: true, ExplicitDataCacheControl: true,
		Logger: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	})
	if err != nil {
		return fmt.Errorf("mounting a disk on %s (it takes root and /dev/fuse): %w", s.opt.Mount, err)
	}
	s.shown = true
	s.serves.Go(mount.Serve)
	if err := mount.WaitMount(); err != nil {
		return errors.Join(fmt.Errorf("mounting a disk on %s: %w", s.opt.Mount, err), s.detach())
	}
	return nil
}
