package rekeyd

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

type set map[string]string

type damage struct {
	File, How string
	Members   map[string]any
}

// testFolder is a key folder as rekeyd delivers it, for the steps of the table in clients/cases.
type testFolder struct {
	path, layout string
	keys         *testKeys
	count        int
}

func (f *testFolder) deliver(given set, damages []damage) error {
	f.count++
	switch f.layout {
	case "plain":
		_, err := f.write(f.path, given, damages)
		return err
	case "former":
		version := filepath.Join(filepath.Dir(f.path), fmt.Sprintf(".folder-%d", f.count))
		if _, err := f.write(version, given, damages); err != nil {
			return err
		}
		return swap(filepath.Base(version), f.path)
	}
	return f.deliverLinks(given, damages)
}

func (f *testFolder) deliverLinks(given set, damages []damage) error {
	if err := os.MkdirAll(filepath.Join(f.path, "signers"), 0o755); err != nil {
		return err
	}
	version := fmt.Sprintf("..%d", f.count)
	names, err := f.write(filepath.Join(f.path, version), given, damages)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Symlink("..data/"+name, filepath.Join(f.path, name)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	if err := swap(version, filepath.Join(f.path, "..data")); err != nil {
		return err
	}
	entries, err := os.ReadDir(f.path)
	for _, entry := range entries {
		if entry.Type()&os.ModeSymlink != 0 && entry.Name() != "..data" && !slices.Contains(names, entry.Name()) {
			_ = os.Remove(filepath.Join(f.path, entry.Name()))
		}
	}
	_ = os.RemoveAll(filepath.Join(f.path, fmt.Sprintf("..%d", f.count-1)))
	return err
}

func swap(target, link string) error {
	draft := filepath.Join(filepath.Dir(link), "..new")
	if err := os.Symlink(target, draft); err != nil {
		return err
	}
	return os.Rename(draft, link)
}

func (f *testFolder) move(how string) error {
	away := f.path + "-away"
	switch how {
	case "away":
		return os.Rename(f.path, away)
	case "back":
		return os.Rename(away, f.path)
	case "emptied":
		// Not file by file: the signer may be writing its report there.
		former := f.path + "-former"
		return errors.Join(os.Rename(f.path, former), os.Mkdir(f.path, 0o755), os.RemoveAll(former))
	}
	return fmt.Errorf("no runner knows how a folder is %q", how)
}

func (f *testFolder) write(folder string, given set, damages []damage) ([]string, error) {
	files := f.files(given)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	names := slices.Collect(maps.Keys(files))
	for _, change := range damages {
		if err := f.damaged(filepath.Join(folder, change.File), change, files); err != nil {
			return nil, err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func (f *testFolder) files(given set) map[string]string {
	meta := map[string]any{"client_id": "client-4711", "issuer": "https://auth.example.com", "alg": nil, "updated_at": "2026-11-23T03:00:00.000Z"}
	if client, ok := given["client_id"]; ok {
		meta["client_id"] = client
	}
	files := map[string]string{}
	for _, role := range roles {
		meta[string(role)] = nil
		if name, ok := given[string(role)]; ok {
			meta[string(role)] = name
			if meta["alg"] == nil {
				meta["alg"] = f.keys.alg(name)
			}
			files[fileOf(role)] = asJSON(f.keys.jwk(name))
		}
	}
	files["meta.json"] = asJSON(meta)
	return files
}

// damaged writes the file itself, or changes what is to be written.
func (f *testFolder) damaged(path string, change damage, files map[string]string) error {
	name := filepath.Base(path)
	text := files[name]
	before := text[:len(text)-1]
	delete(files, name)
	switch change.How {
	case "missing":
		return nil
	case "folder":
		return os.Mkdir(path, 0o755)
	case "denied":
		return os.WriteFile(path, nil, 0)
	case "half":
		files[name] = text[:len(text)/2]
	case "empty":
		files[name] = ""
	case "mark":
		files[name] = "\ufeff" + text
	case "more":
		files[name] = text + "{}"
	case "latin1":
		files[name] = before + ",\"z\":\"\xe4\"}"
	case "nan":
		files[name] = before + `,"z":NaN}`
	default:
		made, err := f.damagedMembers(change, parse([]byte(text)))
		files[name] = asJSON(made)
		return err
	}
	return nil
}

func (f *testFolder) damagedMembers(change damage, members jwk) (jwk, error) {
	switch change.How {
	case "members":
		maps.Copy(members, change.Members)
	case "other_key":
		return f.keys.jwk("X"), nil
	case "bad_alg":
		members["alg"] = "none"
	case "no_secret":
		delete(members, "d")
	case "no_primes":
		for _, name := range []string{"p", "q", "dp", "dq", "qi"} {
			delete(members, name)
		}
	case "other_public":
		f.ofOther(members, "n", "x", "y")
	case "other_d":
		f.ofOther(members, "d")
	case "other_dp":
		f.ofOther(members, "dp")
	case "short_rsa":
		short := privateMembers(must(rsa.GenerateKey(rand.Reader, 1024)))
		short["kid"], short["alg"] = members["kid"], "RS256"
		return short, nil
	case "padded":
		members["d"] = members.text("d") + "="
	case "wrapped":
		members["d"] = members.text("d")[:4] + "\n" + members.text("d")[4:]
	case "longer":
		name := "n"
		if members["x"] != nil {
			name = "x"
		}
		members[name] = base64.RawURLEncoding.EncodeToString(append([]byte{0}, members.bytes(name)...))
	default:
		return nil, fmt.Errorf("no runner knows the damage %q", change.How)
	}
	return members, nil
}

// ofOther gives it these members of the key X, as far as it has them.
func (f *testFolder) ofOther(members jwk, names ...string) {
	other := f.keys.jwk("X")
	for _, name := range names {
		if _, has := members[name]; has {
			members[name] = other[name]
		}
	}
}

func asJSON(value any) string { return string(must(json.Marshal(value))) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func isRoot() bool { return os.Geteuid() == 0 }

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
