package rekeyd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// roles in the order in which keys are tried.
var roles = []Role{Current, Next, Previous}

// A set can be swapped while it is read; that it happens this often in a row is no accident.
const attempts = 10

// A folder of version 0.1 is replaced by one of today once. Between the two there is none, for much less than this.
const missing = 20 * time.Millisecond

type keySet struct {
	clientID string
	// Those that exist, in the order of roles.
	keys    []*signingKey
	version version
}

// first is the key that signs, whatever the server said so far: the next one only while there is no current.
func (s *keySet) first() *signingKey {
	for _, key := range s.keys {
		if key.role != Previous {
			return key
		}
	}
	return nil
}

func (s *keySet) byKid(kid string) *signingKey {
	for _, key := range s.keys {
		if key.kid == kid {
			return key
		}
	}
	return nil
}

func (s *keySet) kids() []string {
	kids := make([]string, 0, len(s.keys))
	for _, key := range s.keys {
		kids = append(kids, key.kid)
	}
	return kids
}

// version is that of a set's meta.json: another one as soon as another set is in place.
type version struct{ file fs.FileInfo }

func (v version) equals(other version) bool {
	return os.SameFile(v.file, other.file) && v.file.ModTime().Equal(other.file.ModTime())
}

// versionOf costs one stat: cheap enough to be asked before every signature.
func versionOf(folder string) (version, error) {
	file, err := os.Stat(filepath.Join(folder, "meta.json"))
	return version{file}, err
}

// readKeySet answers an *Error, FolderUnreadable.
func readKeySet(folder string, attempts int) (*keySet, error) {
	var problem error
	for attempt := range attempts {
		if attempt > 0 && !exists(folder) {
			time.Sleep(missing)
		}
		set, err := readOnce(folder)
		if err == nil {
			return set, nil
		}
		problem = err
	}
	return nil, errorf(FolderUnreadable, "The key folder %s cannot be read: %v. "+
		"Check the path, that this user (uid %d) may read it, and that rekeyd has delivered keys there.", folder, problem, os.Geteuid())
}

// readOnce follows the link once and reads all files from that one version: two versions never mix.
func readOnce(folder string) (*keySet, error) {
	place, err := filepath.EvalSymlinks(filepath.Join(folder, "..data"))
	if errors.Is(err, fs.ErrNotExist) {
		// A secret mount may be a plain folder.
		place, err = filepath.EvalSymlinks(folder)
	}
	if err != nil {
		return nil, err
	}
	set := &keySet{}
	if set.version, err = versionOf(place); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(place, "meta.json"))
	if err != nil {
		return nil, err
	}
	meta := parse(text)
	if meta == nil {
		return nil, errors.New("meta.json is not a JSON object")
	}
	if set.clientID = meta.text("client_id"); set.clientID == "" {
		return nil, errors.New("meta.json has no client_id")
	}
	var files [][]byte
	var present []Role
	// All are read before the first is parsed, which takes longer: the version may be removed meanwhile.
	for _, role := range roles {
		if meta[string(role)] == nil {
			continue
		}
		if meta.text(string(role)) == "" {
			return nil, fmt.Errorf("%s in meta.json is not a kid", role)
		}
		file, err := os.ReadFile(filepath.Join(place, fileOf(role)))
		if err != nil {
			return nil, err
		}
		files, present = append(files, file), append(present, role)
	}
	for i, role := range present {
		key, err := parseKey(files[i], role, meta.text(string(role)))
		if err != nil {
			return nil, fmt.Errorf("%s %w", fileOf(role), err)
		}
		set.keys = append(set.keys, key)
	}
	return set, nil
}

func fileOf(role Role) string { return string(role) + ".jwk.json" }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
