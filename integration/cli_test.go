package integration_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// program is the command line, built.
type program struct {
	file string
	dir  string
	env  []string
}

func build(t *testing.T) *program {
	t.Helper()
	p := &program{dir: t.TempDir()}
	p.file = filepath.Join(p.dir, "sdsaws")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.file, "../cmd/sdsaws").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	who, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), "AWS_ENDPOINT_URL="+aws.ToString(cfg.BaseEndpoint), "AWS_REGION="+cfg.Region,
		"AWS_ACCESS_KEY_ID="+who.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+who.SecretAccessKey)
	return p
}

// run expects that a command ends with a status, and returns its standard output.
func (p *program) run(t *testing.T, status int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.file, args...)
	var out, errOut bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, &out, &errOut
	err := cmd.Run()
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Fatalf("sdsaws %s: status %d, want %d\n%s%s", strings.Join(args, " "), got, status, &out, &errOut)
	}
	return out.String()
}

// says is run, and expects all of these in the output, columns aside.
func (p *program) says(t *testing.T, want []string, args ...string) {
	t.Helper()
	out := p.run(t, 0, args...)
	text := strings.Join(strings.Fields(out), " ")
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("sdsaws %s: no %q in\n%s", strings.Join(args, " "), w, out)
		}
	}
}

// TestCommandsOnAWS runs each command on a backend made by init, and brings channels there and back.
func TestCommandsOnAWS(t *testing.T) {
	p := build(t)
	name := "it-" + strings.ToLower(rand.Text())
	backend := "aws:state=" + name + "-state,hints=" + name + "-hints,bucket=" + name + "-archive"
	p.says(t, []string{"created table " + name + "-state", "created table " + name + "-hints", "created bucket " + name}, "init", "--backend", backend)
	p.says(t, []string{`{"tables":[],"buckets":[]}`}, "init", "--json", "--backend", backend)
	p.says(t, []string{"ok state table", "warn state table: recovery", "ok hints table: TTL", "ok bucket: versions",
		"ok may dynamodb:ConditionCheckItem allowed", "ok round trip", "ok clean up"}, "doctor", "--backend", backend)
	state := name + "-state"
	left, err := dynamodb.NewFromConfig(cfg).Scan(t.Context(), &dynamodb.ScanInput{TableName: &state})
	if err != nil || left.Count > 0 {
		t.Errorf("the doctor has left %d items, %v", left.Count, err)
	}

	// There: what the demo keeps, and back.
	const ns = "demo/participant-2"
	here := []string{"--backend", "embedded:here", "--namespace", ns}
	there := []string{"--backend", backend, "--namespace", ns}
	with := func(where []string, args ...string) []string { return append(args, where...) }
	p.run(t, 0, "demo", "--dir", "here")
	exported := p.run(t, 0, with(here, "export", "--all", "--output", "here.sdsaws")...)
	if imported := p.run(t, 0, with(there, "import", "here.sdsaws")...); imported != exported {
		t.Errorf("exported\n%s, imported\n%s", exported, imported)
	}
	p.run(t, 1, with(there, "import", "here.sdsaws")...)
	p.run(t, 0, with(there, "import", "here.sdsaws", "/group/0/chat", "--replace")...)
	p.run(t, 0, with(there, "export", "--all", "--output", "there.sdsaws")...)
	back := []string{"--backend", "embedded:back", "--namespace", ns}
	p.run(t, 0, with(back, "import", "there.sdsaws")...)
	p.run(t, 0, with(back, "export", "--all", "--output", "back.sdsaws")...)
	files := map[string][]byte{}
	for _, f := range []string{"here", "there", "back"} {
		if files[f], err = os.ReadFile(filepath.Join(p.dir, f+".sdsaws")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files["here"], files["there"]) || !bytes.Equal(files["there"], files["back"]) {
		t.Error("the exports of three backends differ")
	}
	for _, format := range []string{"table", "jsonl", "parquet"} {
		p.run(t, 0, with(there, "history", "/group/0/chat", "--format", format)...)
	}

	p.says(t, []string{`"/group/0/chat" 30 35 0 18`, "total of 2"}, with(there, "channels")...)
	p.says(t, []string{"history 30 messages", "archive 18 messages", "outgoing repair buffer: 31"}, with(there, "inspect", "/group/0/chat")...)
	p.run(t, 1, with(there, "inspect", "nobody")...)
	p.says(t, []string{`"message_id":"0x463ce1260908814feed462e4e4fe158f00fde1834c9b69f1fab1f2c86d7a7c50"`}, with(there, "message", "--json",
		"/group/0/chat", "0x463ce1260908814feed462e4e4fe158f00fde1834c9b69f1fab1f2c86d7a7c50")...)
	p.run(t, 0, with(there, "hint", "set", `\xff`, `\x00`)...)
	p.says(t, []string{`{"message_id":"\\xff","hint":"AA=="}`}, with(there, "hint", "get", `\xff`, "--json")...)
	p.says(t, []string{"total of 2 0 0 0 0 0"}, with(there, "sweep", "--all")...)
	p.says(t, []string{"total of 2 59 0 18", "2 clean"}, with(there, "fsck", "--all")...)
	p.says(t, []string{`"messages_per_second":0,"write_units_per_second":0,"claims":0`}, with(there, "watch", "--count", "2",
		"--interval", "100ms", "--json")...)
	p.run(t, 2, with(there, "drop", "/group/0/chat")...)
	p.says(t, []string{`{"channel":"/group/0/chat","dropped":true}`}, with(there, "drop", "/group/0/chat", "--yes", "--json")...)
	p.says(t, []string{`"/group/0/chat" 0 0 0 0`}, with(there, "channels")...)
}
