package station

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"watchpost/firmware/status"
)

// door is the local door: how the station is, told over a Unix socket that only its owner may open.
type door struct {
	path  string
	rooms http.Handler
}

func (d door) run(ctx context.Context) error {
	for _, left := range []string{d.path, d.path + ".new"} { // by a run that was killed
		if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("clearing the local door: %w", err)
		}
	}
	// Made under another name and renamed once its mode is right: nobody else gets a foot in between.
	listener, err := net.Listen("unix", d.path+".new")
	if err != nil {
		return fmt.Errorf("opening the local door: %w", err)
	}
	defer func() { _ = os.Remove(d.path) }()
	if err := errors.Join(os.Chmod(d.path+".new", 0o600), os.Rename(d.path+".new", d.path)); err != nil {
		return errors.Join(fmt.Errorf("opening the local door: %w", err), listener.Close())
	}
	server := &http.Server{Handler: d.rooms, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("local door: %w", err)
	}
	return nil
}

// rooms are what the local door leads to.
func (s *Station) rooms() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+status.Path, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.status()) })
	s.serveIO(mux)
	e := s.entrance()
	e.serve(mux)
	s.locksmith(e).serve(mux)
	return mux
}

// answer sends a value as JSON.
func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // whoever asked has hung up
}

func doorPath(data string) string { return filepath.Join(data, status.Socket) }
