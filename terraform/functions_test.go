package terraform_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// texts returns the strings in a program's source. Programs can't be imported.
func texts(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %q, %v", dir, files, err)
	}
	all := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if s, err := strconv.Unquote(l.Value); err == nil {
					all[s] = true
				}
			}
			return true
		})
	}
	return all
}

// variablesDiffer says which of the variables that a program reads a function isn't given, or
// the other way round.
func variablesDiffer(t *testing.T, all fs.FS, program, dir, function string) (differences []string) {
	t.Helper()
	e, err := evaluate(t, all, dir, good[dir][0])
	if err != nil {
		t.Fatal(err)
	}
	environment := blocks(e.Resources[function], "environment")[0].GetAttr("variables").AsValueMap()
	read := texts(t, program)
	for name := range environment {
		if !read[name] {
			differences = append(differences, program+" doesn't read "+name)
		}
	}
	for name := range read {
		if _, given := environment[name]; !given && ours.MatchString(name) {
			differences = append(differences, function+" isn't given "+name)
		}
	}
	return differences
}

var ours = regexp.MustCompile(`^SDSAWS_[A-Z_]+$`)

// TestFunctionsAreGivenTheVariablesThatTheyRead and no others.
func TestFunctionsAreGivenTheVariablesThatTheyRead(t *testing.T) {
	for _, c := range []struct{ program, dir, function, file string }{
		{"../cmd/sweeper", sweeperModule, "aws_lambda_function.sweeper", "modules/sweeper/main.tf"},
		{"../examples/lambda", "examples/lambda", "aws_lambda_function.participant", "examples/lambda/main.tf"},
	} {
		for _, d := range variablesDiffer(t, tree(t), c.program, c.dir, c.function) {
			t.Error(d)
		}
		changed := edited(t, c.file, "SDSAWS_HINTS_TABLE", "SDSAWS_HINT_TABLE")
		if len(variablesDiffer(t, changed, c.program, c.dir, c.function)) != 2 {
			t.Errorf("%s: another name isn't found", c.file)
		}
	}
}
