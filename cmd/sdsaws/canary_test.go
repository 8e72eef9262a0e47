package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/internal/canary"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

var birds = map[string]canary.Bird{
	"content": canary.New("Content"), "message id": canary.New("MessageID"), "hint": canary.New("Hint"),
	"sender": canary.New("Sender"), "secret key": canary.New("Secret"), "session token": canary.New("Token"),
}

// plant makes a store with three messages of a channel, the first of them archived, and a hint.
func plant(ctx context.Context, dir string) (err error) {
	s, a, err := openAlice(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	u := &sds.HistoryUpdate{Evict: []string{birds["message id"].Raw() + "0"}}
	for _, n := range []string{"0", "1", "2"} {
		u.Append = append(u.Append, sds.Message{MessageID: birds["message id"].Raw() + n, ChannelID: "chat",
			SenderID: birds["sender"].Raw(), Content: []byte(birds["content"].Raw()),
			CausalHistory: []sds.HistoryEntry{{MessageID: birds["message id"].Raw(), RetrievalHint: []byte(birds["hint"].Raw())}}})
	}
	if err := a.UpdateHistory(ctx, "chat", u); err != nil {
		return err
	}
	if err := a.SetRetrievalHint(ctx, birds["message id"].Raw()+"1", []byte(birds["hint"].Raw())); err != nil {
		return err
	}
	if _, err := a.Sweep(ctx, "chat", nil); err != nil {
		return err
	}
	return a.Close(ctx)
}

// said runs a command, and returns what it writes to standard error and, with all, to standard output.
func said(t *testing.T, all bool, args ...string) string {
	t.Helper()
	var errOut, out canary.Output
	defer errOut.Logs()()
	cmd := rootCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		tell(&errOut, err)
		errOut.Error(err)
	}
	if all {
		return errOut.String() + out.String()
	}
	return errOut.String()
}

func hidden(t *testing.T, during, text string) {
	t.Helper()
	for what, b := range birds {
		if b.In(text) {
			t.Errorf("%s: the %s is shown in:\n%.2000s", during, what, text)
		}
	}
}

// TestCommandsSayNothingOfMessages but on the standard output of inspect, history and message, which are
// for that.
func TestCommandsSayNothingOfMessages(t *testing.T) {
	quiet := 0
	for name, statement := range map[string]string{
		"whole": "", "messages missing": "DELETE FROM message", "head missing": "DELETE FROM head",
		"message damaged": "UPDATE message SET body = x'0102030405060708091011'",
		"another id":      "UPDATE message SET id = CAST(id || '" + string(birds["message id"]) + "' AS BLOB)",
		"another message": "UPDATE message SET body = (SELECT body FROM message ORDER BY offset LIMIT 1)",
		"text":            "UPDATE message SET body = CAST('" + string(birds["content"]) + "' AS BLOB)",
		"head damaged":    "UPDATE head SET body = substr(body, 1, 30)", "manifest damaged": "UPDATE segment SET body = substr(body, 1, 30)",
		"head of text":   "UPDATE head SET body = CAST('" + string(birds["content"]) + "' AS BLOB)",
		"manifest short": "UPDATE segment SET stop = 9", "hint damaged": "UPDATE hint SET value = x''", "object": "-",
	} {
		dir := t.TempDir()
		if err := plant(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if err := damage(t.Context(), dir, statement); err != nil {
			t.Fatal(err)
		}
		where := []string{"--backend", "embedded:" + dir, "--namespace", "alice"}
		id := `"\x00\"` + string(birds["message id"]) + `\xff\n`
		for _, c := range []struct {
			all  bool
			args []string
		}{
			{true, []string{"fsck", "--all"}}, {true, []string{"fsck", "--all", "--json"}}, {true, []string{"fsck", "chat", "--repair"}},
			{true, []string{"sweep", "--all"}}, {true, []string{"sweep", "--all", "--json"}},
			{true, []string{"channels"}}, {true, []string{"channels", "--json"}},
			{false, []string{"inspect", "chat"}}, {false, []string{"inspect", "chat", "--json"}},
			{false, []string{"history", "chat"}}, {false, []string{"history", "chat", "--json"}},
			{false, []string{"message", "chat", id + `0"`}}, {false, []string{"message", "chat", id + `1"`, "--json"}},
			{false, []string{"export", "chat", "--output", "-"}}, {true, []string{"export", "none", "--output", filepath.Join(dir, "out")}},
			{false, []string{"hint", "get", id + `1"`}}, {true, []string{"drop", "none", "--yes"}},
			{true, []string{"history", "none"}}, {true, []string{"fsck", "none"}},
		} {
			text := said(t, c.all, append(c.args, where...)...)
			if c.args[0] == "message" || c.args[0] == "hint" { // which repeat the id that they were given
				text = strings.ReplaceAll(text, string(birds["message id"]), "ID")
			}
			if hidden(t, name+": "+c.args[0], text); text != "" {
				quiet++
			}
		}
	}
	if quiet < 60 {
		t.Errorf("%d commands said anything, want more", quiet)
	}
}

// damage changes the database of a store, or, with "-", its objects.
func damage(ctx context.Context, dir, statement string) error {
	switch statement {
	case "":
		return nil
	case "-":
		s, err := embedded.Open(dir, nil)
		if err != nil {
			return err
		}
		var all []store.Object
		for o, err := range s.Archive().List(ctx, "") {
			if err != nil {
				return err
			}
			all = append(all, o)
		}
		if err := s.Close(); err != nil {
			return err
		}
		for _, o := range all {
			file := filepath.Join(dir, "archive", filepath.FromSlash(o.Name))
			if err := os.WriteFile(file, []byte(birds["content"].Raw()), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	return alter(ctx, dir, statement)
}

// TestCommandsSayNothingOfCredentials, where AWS can't be reached or its environment can't be read.
func TestCommandsSayNothingOfCredentials(t *testing.T) {
	secret, token := string(birds["secret key"]), string(birds["session token"])
	file := filepath.Join(t.TempDir(), "credentials")
	for name, c := range map[string]struct{ credentials, endpoint string }{
		"none":            {"[default]\naws_access_key_id = a\naws_secret_access_key = " + secret + "\naws_session_token = " + token, ""},
		"no key":          {"[default]\naws_secret_access_key = " + secret, ""},
		"a torn file":     {"[default\naws_secret_access_key = " + secret + "\n[", ""},
		"no key and text": {secret + "\n[default]\n" + token + " = ", ""},
		"an endpoint":     {"[default]\naws_access_key_id = a\naws_secret_access_key = " + secret, "http://\x7f"},
	} {
		if err := os.WriteFile(file, []byte(c.credentials), 0o600); err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{
			"AWS_SHARED_CREDENTIALS_FILE": file, "AWS_CONFIG_FILE": file, "AWS_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
			"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true",
		} {
			t.Setenv(k, v)
		}
		if c.endpoint != "" {
			t.Setenv("AWS_ENDPOINT_URL", c.endpoint)
		}
		for _, args := range [][]string{{"fsck", "--all"}, {"history", "chat"}, {"sweep", "--all"}, {"doctor"}} {
			text := said(t, true, append(args, "--backend", "aws:state=s,hints=h,bucket=b", "--namespace", "alice")...)
			if hidden(t, name, text); text == "" {
				t.Errorf("%s: %s says nothing", name, args)
			}
		}
	}
}
