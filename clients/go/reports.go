package rekeyd

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

const (
	// rekeyd counts a report for two minutes.
	again = 30 * time.Second
	// The process of a report that old has crashed.
	forgotten = 24 * time.Hour
	// So many reports of other processes are looked at.
	mostLookedAt = 500
)

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]`)

type holding struct {
	Kids    []string `json:"kids"`
	Signing *string  `json:"signing"`
}

func (h holding) equals(other holding) bool {
	return slices.Equal(h.Kids, other.Kids) && signer(h) == signer(other)
}

func signer(h holding) string {
	if h.Signing == nil {
		return ""
	}
	return *h.Signing
}

// reporter tells rekeyd which keys this process holds and which one it signs with, so that no rotation leaves it behind. One goroutine uses it.
type reporter struct {
	folder, path string
	tell         func(error)
	// What was to be written last, also where that failed: it is not tried again before its time.
	last      holding
	lastAt    time.Time
	isWritten bool
}

// newReporter: rekeyd makes the folder. Where it is not there, or cannot be written, nothing is reported.
func newReporter(folder string, tell func(error)) *reporter {
	host, _ := os.Hostname()
	if host == "" {
		host = "host"
	}
	name := fmt.Sprintf("%s-%d.json", notInNames.ReplaceAllString(host, "_"), os.Getpid())
	return &reporter{folder: folder, path: filepath.Join(folder, name), tell: tell}
}

// report writes when there is something new to say, or the last report is getting old.
func (r *reporter) report(h holding) {
	now := time.Now()
	if h.equals(r.last) && now.Sub(r.lastAt).Abs() < again {
		return
	}
	r.last, r.lastAt = h, now
	if err := r.write(h, now); err != nil && !isNoPlace(err) {
		r.tell(errorf(ReportFailed, "The report %s cannot be written: %v. rekeyd does not know which keys this process has.", r.path, err))
	}
}

func (r *reporter) write(h holding, at time.Time) (err error) {
	text, err := json.Marshal(struct {
		holding
		At string `json:"at"`
	}{h, at.UTC().Format("2006-01-02T15:04:05.000Z")})
	if err != nil {
		return err
	}
	draft := filepath.Join(r.folder, "."+rand.Text())
	file, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(draft)
		}
	}()
	_, err = file.Write(append(text, '\n'))
	// Readable whatever the umask: rekeyd may be another user. There is no secret in it.
	if err = errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	if err = os.Rename(draft, r.path); err == nil {
		r.isWritten = true
	}
	return err
}

// close takes the report back.
func (r *reporter) close() {
	if r.isWritten {
		_ = os.Remove(r.path)
	}
}

// forgetOld: rekeyd reads only the newest reports, and a container that restarts leaves one behind under each of its names.
func (r *reporter) forgetOld() {
	paths, _ := filepath.Glob(filepath.Join(escapeGlob(r.folder), "*.json"))
	for _, path := range paths[:min(len(paths), mostLookedAt)] {
		file, err := os.Stat(path)
		if err == nil && file.Mode().IsRegular() && time.Since(file.ModTime()) > forgotten {
			_ = os.Remove(path)
		}
	}
}

func escapeGlob(path string) string {
	return regexp.MustCompile(`[\\*?[]`).ReplaceAllString(path, `\$0`)
}

// isNoPlace: there is no such folder, or not for this process, as in a set that was copied or a mount that is read-only.
func isNoPlace(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EROFS)
}
