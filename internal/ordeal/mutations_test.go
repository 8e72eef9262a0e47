package ordeal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mutation removes a guard of the product, or of the backend in memory.
type mutation struct {
	guard    string
	file     string // from the root of the module
	old, new string // old is there once

	// The part of the table that is played, to save time: all of it finds the mutation too.
	part string

	// Where the table can't see it: the package and the name of the test that does.
	found string
}

var mutations = []mutation{
	{
		guard: "a commit is conditional on the commit id",
		part:  `^Commit#.*(late|takeover)`,
		file:  "store/storetest/memory.go",
		old:   "\tif err := c.expect(prev); err != nil {\n\t\treturn err\n\t}\n\tc.head = copyHead(&head)\n",
		new:   "\tc.head = copyHead(&head)\n",
	},
	{
		guard: "a claim is conditional on the commit id",
		part:  `^Claim#.*(late|between)`,
		file:  "store/storetest/memory.go",
		old:   "\tif err := c.expect(prev); err != nil {\n\t\treturn err\n\t}\n\tc.head.CommitID, c.head.Writer",
		new:   "\tc.head.CommitID, c.head.Writer",
	},
	{
		guard: "head and messages are written in one transaction",
		part:  `^(Commit|Archive.Put)#.*(late|frozen)`,
		file:  "store/storetest/memory.go",
		old:   "\tif err := c.expect(prev); err != nil {\n\t\treturn err\n\t}\n\tc.head = copyHead(&head)\n",
		new: "\tif err := c.expect(prev); err != nil {\n\t\tfor _, msg := range messages {\n" +
			"\t\t\tc.messages[msg.Offset] = copyMessage(msg)\n\t\t}\n\t\treturn err\n\t}\n\tc.head = copyHead(&head)\n",
	},
	{
		guard: "staging is conditional on the commit id",
		part:  `^Stage#.*(late|frozen)`,
		file:  "store/storetest/memory_segments.go",
		old:   "\t\tif err := c.expect(prev); err != nil {\n\t\t\treturn err\n\t\t}\n\t\tfor _, msg",
		new:   "\t\tfor _, msg",
	},
	{
		guard: "a manifest is added on the condition that the origin is the same",
		part:  `^AddSegment#.*late`,
		file:  "store/storetest/memory_segments.go",
		old:   "c.head == nil || c.head.Origin != origin",
		new:   "c.head == nil",
	},
	{
		guard: "a manifest is marked on the condition that it is there",
		part:  `^ReplaceSegment#.*(late|frozen)`,
		file:  "store/storetest/memory_segments.go",
		old:   "if _, ok := c.segments[s.From]; !ok {",
		new:   "if false {",
	},
	{
		guard: "what was staged under the head's commit id is not unstaged",
		part:  `^(Stage|Commit)#.*sweep`,
		file:  "store/storetest/memory_segments.go",
		old:   "msg.Staged != store.CommitID{} && msg.Staged != id",
		new:   "msg.Staged != store.CommitID{} && (msg.Staged != id || next > 0)",
	},
	{
		guard: "an object is put if there is none",
		file:  "store/storetest/memory_archive.go",
		old:   "ok && !bytes.Equal(stored, body)",
		new:   "ok && !bytes.Equal(stored, body) && false",
		// Names are never used for other bytes, so the table can't see it.
		found: "./store/storetest TestMemoryArchive",
	},
	{
		guard: "messages are deleted after the segment is marked as written",
		part:  `^(Delete|ReplaceSegment)#.*(lost|killed)`,
		file:  "archive.go",
		old:   "\terr := w.mark(ctx, record.Written)\n",
		new:   "\tvar err error\n",
	},
	{
		guard: "a segment is marked as written after its object was put",
		part:  `^(Archive.Put|ReplaceSegment)#.*killed`,
		file:  "archive.go",
		old:   "\tif len(w.rows) > 0 {\n\t\tif err := w.store(ctx)",
		new: "\tif err := w.mark(ctx, record.Written); err != nil {\n\t\treturn err\n\t}\n" +
			"\tif len(w.rows) > 0 {\n\t\tif err := w.store(ctx)",
	},
	{
		guard: "an archiver goes by the manifest's own set",
		part:  `^AddSegment#.*later/takeover`,
		file:  "archive.go",
		old:   "\t\tif err := w.read(ctx, w.manifest.History, false); err != nil {\n",
		new: "\t\thead, err := w.a.log.Head(ctx, w.key)\n\t\tif err != nil {\n\t\t\treturn err\n\t\t}\n" +
			"\t\trec, err := record.OpenHead(w.key, *head)\n\t\tif err != nil {\n\t\t\treturn err\n\t\t}\n" +
			"\t\tw.manifest.History = rec.History.Between(w.seg.From, w.seg.To)\n" +
			"\t\tif err := w.read(ctx, w.manifest.History, false); err != nil {\n",
	},
	{
		guard: "who finds its manifest gone deletes the object that it put",
		part:  `^Archive.Put#.*frozen until after the drops`,
		file:  "archive.go",
		old:   "\tif w.manifest.Size > 0 {\n\t\tif err := w.a.archive.Delete",
		new:   "\tif false {\n\t\tif err := w.a.archive.Delete",
	},
	{
		guard: "a load compares the digest",
		file:  "load.go",
		old:   "digest != st.record.Digest {",
		new:   "digest != st.record.Digest && false {",
		found: ". TestMessagesOfAnotherCommitAreDamage", // no fault does that
	},
	{
		guard: "a load verifies before it claims",
		file:  "load.go",
		old:   "\t\tst, data, err := ch.verify(ctx, v)\n",
		new: "\t\tif v.head != nil {\n\t\t\tfirst := emptyState()\n\t\t\tfirst.head = *v.head\n" +
			"\t\t\tif claimed, err := ch.claim(ctx, first); err != nil || !claimed {\n" +
			"\t\t\t\treturn sds.EncodedChannelData{}, ch.fail(\"load\", \"claim\", err)\n\t\t\t}\n" +
			"\t\t\t*v.head, v.head.Body = first.head, v.head.Body\n\t\t}\n" +
			"\t\tst, data, err := ch.verify(ctx, v)\n",
		found: ". TestDamageIsNamedAndNothingChanges",
	},
	{
		guard: "values are never shared: a name has the commit that it was made for",
		part:  `^Archive.Put#.*carried`,
		file:  "values.go",
		old:   "fmt.Sprintf(\"%v-%v-%d\", prev, id, n)",
		new:   "fmt.Sprintf(\"%v-%v-%d\", prev, prev, n)",
	},
	{
		guard: "values are never shared: a name has a number within the commit",
		part:  `^Archive.Put#`,
		file:  "values.go",
		old:   "fmt.Sprintf(\"%v-%v-%d\", prev, id, n)",
		new:   "fmt.Sprintf(\"%v-%v-%d\", prev, id, 0*n)",
	},
	{
		guard: "who was fenced stays so",
		part:  `^Commit#.*takeover`,
		file:  "channel.go",
		old:   "ch.phase, ch.why, ch.state = fenced, why, nil\n",
		new:   "ch.phase, ch.why, ch.state = unopened, why, nil\n",
	},
	{
		guard: "nothing is built upon an unknown outcome",
		part:  `^Commit#.*lost`,
		file:  "channel.go",
		old:   "\tcase !errors.As(err, &conflict):\n",
		new:   "\tcase !errors.As(err, &conflict):\n\t\tch.settle(nil)\n",
	},
	{
		guard: "who was fenced deletes none of its values",
		part:  `^Commit#.*lost/frozen`,
		file:  "channel.go",
		old:   "\t\tch.settle(nil)\n\t\treturn ch.fence(\"commit\", err, at.head.Epoch)\n",
		new:   "\t\tch.settle(nil)\n\t\tch.discard(at.draft.uploaded...)\n\t\treturn ch.fence(\"commit\", err, at.head.Epoch)\n",
	},
	{
		guard: "offsets of an unknown staging are skipped",
		part:  `^Stage#.*late`,
		file:  "channel.go",
		old:   "\t\t\tch.state.skip = d.next\n",
		new:   "",
	},
	{
		guard: "a sweep leaves values that were made for a commit that follows the head",
		part:  `^Commit#.*sweep`,
		file:  "sweep.go",
		old:   "!used[o.Name] && !madeAfter(strings.TrimPrefix(o.Name, folder), head.CommitID)",
		new:   "!used[o.Name]",
	},
	{
		guard: "a sweep lists values before it reads the head",
		part:  `^(Archive.List|Head)#.*takeover`,
		file:  "sweep.go",
		old: "\tvar all []store.Object\n\tfor o, err := range r.a.archive.List(ctx, folder) {\n" +
			"\t\tif err != nil {\n\t\t\treturn 0, r.fail(\"sweep\", \"values\", err)\n\t\t}\n" +
			"\t\tall = append(all, o)\n\t}\n\tif len(all) == 0 {\n\t\treturn 0, nil\n\t}\n" +
			"\thead, rec, err := r.head(ctx, \"sweep\")\n",
		new: "\tvar all []store.Object\n\thead, rec, err := r.head(ctx, \"sweep\")\n" +
			"\tfor o, err := range r.a.archive.List(ctx, folder) {\n" +
			"\t\tif err != nil {\n\t\t\treturn 0, r.fail(\"sweep\", \"values\", err)\n\t\t}\n" +
			"\t\tall = append(all, o)\n\t}\n\tif len(all) == 0 {\n\t\treturn 0, nil\n\t}\n",
	},
}

// TestEachGuardIsNeeded removes the guards one at a time, and shows that a promise is then
// seen broken.
func TestEachGuardIsNeeded(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	only := regexp.MustCompile(os.Getenv("SDSAWS_ORDEAL_MUTATION"))
	for _, m := range mutations {
		if only.MatchString(m.guard) {
			t.Run(m.guard, func(t *testing.T) { t.Log(m.findIn(t, root)) })
		}
	}
}

// findIn returns what finds the mutation of the module in root.
func (m *mutation) findIn(t *testing.T, root string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		t.Fatalf("what guards is %d times in %s, want once:\n%s", n, m.file, m.old)
	}
	dir := t.TempDir()
	patched := filepath.Join(dir, "patched.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, m.file): patched}})
	if err == nil {
		err = os.WriteFile(patched, bytes.Replace(source, []byte(m.old), []byte(m.new), 1), 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	pkg, test := "./internal/ordeal", "TestMemory"
	if m.found != "" {
		pkg, test, _ = strings.Cut(m.found, " ")
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	child := exec.CommandContext(ctx, "go", "test", pkg, //nolint:gosec // ours
		"-overlay", filepath.Join(dir, "overlay.json"), "-run", "^"+test+"$", "-timeout", "4m", "-count", "1")
	child.Dir = root
	child.Env = append(os.Environ(), "SDSAWS_ORDEAL_FAILFAST=1", "SDSAWS_ORDEAL_SEED=1",
		"SDSAWS_ORDEAL_PART=all", "SDSAWS_ORDEAL_ONLY="+m.part)
	out, err := child.CombinedOutput()
	if err == nil {
		t.Fatalf("nothing finds it:\n%s", out)
	}
	found := regexp.MustCompile(`(?m)^ +\w+\.go:\d+: .*$`).Find(out)
	if found == nil || !bytes.Contains(out, []byte("--- FAIL: "+test)) || bytes.Contains(out, []byte("panic:")) {
		t.Fatalf("no violation, but %v:\n%s", err, out)
	}
	return string(bytes.TrimSpace(found))
}
