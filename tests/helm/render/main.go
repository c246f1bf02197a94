// render - templates of a Helm chart, rendered for tests.
//
// Helm itself is in no distribution we build on. Its templates are Go's text/template with the functions of Masterminds
// sprig, YAML by sigs.k8s.io/yaml and schemas by gojsonschema: these very libraries, from the distribution, do the work
// here. What is left, and written down in Helm's documentation, is this file: the objects templates see (.Values, .Release, .Chart,
// .Capabilities, .Files, .Template), ten functions, and how values are merged. No cluster is asked: lookup finds what a
// case says is there.
//
//	render CHART <cases >results
//
// cases: a JSON array of {values, name, namespace, revision, api_versions, cluster}. results: for each, {error} or
// {objects, texts, notes}. Objects are those of all templates, read strictly: a key that is given twice is an error.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"github.com/xeipuuv/gojsonschema"
	"sigs.k8s.io/yaml"
)

type dict = map[string]interface{}

type testCase struct {
	Values      dict     `json:"values"`
	Name        string   `json:"name"`
	Namespace   string   `json:"namespace"`
	Revision    int      `json:"revision"`
	APIVersions []string `json:"api_versions"`
	Cluster     []dict   `json:"cluster"` // objects that lookup finds
}

type result struct {
	Error   string            `json:"error,omitempty"`
	Objects []dict            `json:"objects"`
	Texts   map[string]string `json:"texts"`
	Notes   string            `json:"notes"`
}

// metadata is what templates see as .Chart; the fields that Helm's own struct has and this chart may use.
type metadata struct {
	APIVersion, Name, Version, AppVersion, KubeVersion, Description, Type string
}

type chart struct {
	meta      metadata
	values    dict
	schema    []byte
	templates map[string]string // by "name/templates/…"
	parsed    *template.Template
	files     files
}

// files is .Files: what is neither template nor one of the chart's own files.
type files map[string][]byte

// Get is "" for what is not there, as Helm's.
func (f files) Get(name string) string { return string(f[name]) }

// Glob knows * and ? within a folder; Helm's knows more.
func (f files) Glob(pattern string) files {
	found := files{}
	for name, text := range f {
		if ok, _ := path.Match(pattern, name); ok {
			found[name] = text
		}
	}
	return found
}

type versions []string

func (v versions) Has(version string) bool {
	for _, have := range v {
		if have == version {
			return true
		}
	}
	return false
}

func readChart(root string) (*chart, error) {
	c := &chart{templates: map[string]string{}, files: files{}}
	own := map[string][]byte{}
	// Links are followed, as Helm does.
	var walk func(dir, name string) error
	walk = func(dir, name string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			full, inside := filepath.Join(dir, entry.Name()), path.Join(name, entry.Name())
			info, err := os.Stat(full)
			if err != nil {
				return err
			}
			if info.Mode()&fs.ModeDir != 0 {
				if err := walk(full, inside); err != nil {
					return err
				}
				continue
			}
			text, err := os.ReadFile(full)
			if err != nil {
				return err
			}
			switch {
			case strings.HasPrefix(inside, "templates/"):
				c.templates[inside] = string(text)
			case inside == "Chart.yaml" || inside == "values.yaml" || inside == "values.schema.json" || inside == ".helmignore":
				own[inside] = text
			default:
				c.files[inside] = text
			}
		}
		return nil
	}
	if err := walk(root, ""); err != nil {
		return nil, err
	}
	c.schema = own["values.schema.json"]
	if err := yaml.UnmarshalStrict(own["Chart.yaml"], &c.meta); err != nil {
		return nil, fmt.Errorf("Chart.yaml: %w", err)
	}
	if err := yaml.UnmarshalStrict(own["values.yaml"], &c.values); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	named := map[string]string{}
	c.parsed = template.New("all").Option("missingkey=zero")
	c.parsed.Funcs(functions(c.parsed, nil))
	for name, text := range c.templates {
		named[path.Join(c.meta.Name, name)] = text
		if _, err := c.parsed.New(path.Join(c.meta.Name, name)).Parse(text); err != nil {
			return nil, err
		}
	}
	c.templates = named
	return c, nil
}

// merge lays what a user says over the chart's own values: maps are merged, null takes a key away.
func merge(base, over dict) dict {
	out := dict{}
	for key, value := range base {
		out[key] = value
	}
	for key, value := range over {
		below, isMap := value.(dict)
		under, wasMap := out[key].(dict)
		switch {
		case value == nil:
			delete(out, key)
		case isMap && wasMap:
			out[key] = merge(under, below)
		default:
			out[key] = value
		}
	}
	return out
}

func (c *chart) check(values dict) error {
	got, err := gojsonschema.Validate(gojsonschema.NewBytesLoader(c.schema), gojsonschema.NewGoLoader(values))
	if err != nil {
		return fmt.Errorf("values.schema.json: %w", err)
	}
	if got.Valid() {
		return nil
	}
	var said []string
	for _, e := range got.Errors() {
		said = append(said, e.String())
	}
	sort.Strings(said)
	return fmt.Errorf("values do not meet the schema: %s", strings.Join(said, "; "))
}

func asYAML(v interface{}) string {
	text, err := yaml.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(text), "\n")
}

func functions(t *template.Template, cluster []dict) template.FuncMap {
	f := sprig.TxtFuncMap()
	delete(f, "env")
	delete(f, "expandenv")
	f["toYaml"] = asYAML
	f["fromYaml"] = func(text string) dict {
		out := dict{}
		if err := yaml.Unmarshal([]byte(text), &out); err != nil {
			out["Error"] = err.Error()
		}
		return out
	}
	f["fromYamlArray"] = func(text string) []interface{} {
		out := []interface{}{}
		if err := yaml.Unmarshal([]byte(text), &out); err != nil {
			out = []interface{}{err.Error()}
		}
		return out
	}
	f["toJson"] = func(v interface{}) string {
		text, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(text)
	}
	f["include"] = func(name string, data interface{}) (string, error) {
		var out strings.Builder
		err := t.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	f["required"] = func(said string, v interface{}) (interface{}, error) {
		if text, isText := v.(string); v == nil || isText && text == "" {
			return v, fmt.Errorf("%s", said)
		}
		return v, nil
	}
	f["lookup"] = func(apiVersion, kind, namespace, name string) dict {
		for _, o := range cluster {
			m, _ := o["metadata"].(dict)
			if o["apiVersion"] == apiVersion && o["kind"] == kind && m["namespace"] == namespace && m["name"] == name {
				return o
			}
		}
		return dict{}
	}
	return f
}

// Helm takes any line that begins so for the beginning of another object, and cuts white space off each: the last line of a
// block of text at an object's end loses its newline.
var separator = regexp.MustCompile(`(?m)^---`)

func (c *chart) render(tc testCase) (*result, error) {
	values := merge(c.values, tc.Values)
	if err := c.check(values); err != nil {
		return nil, err
	}
	all, err := c.parsed.Clone()
	if err != nil {
		return nil, err
	}
	all.Funcs(functions(all, tc.Cluster)) // include and lookup are this case's
	var names []string
	for name := range c.templates {
		names = append(names, name)
	}
	sort.Sort(sort.Reverse(sort.StringSlice(names))) // as Helm does: what fails first is what a user reads
	out := &result{Objects: []dict{}, Texts: map[string]string{}}
	for _, name := range names {
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		data := dict{
			"Values":  values,
			"Chart":   c.meta,
			"Files":   c.files,
			"Release": dict{"Name": tc.Name, "Namespace": tc.Namespace, "Service": "Helm", "Revision": tc.Revision, "IsInstall": tc.Revision == 1, "IsUpgrade": tc.Revision > 1},
			"Capabilities": dict{
				"APIVersions": versions(tc.APIVersions),
				"KubeVersion": dict{"Version": "v1.31.0", "Major": "1", "Minor": "31"},
			},
			"Template": dict{"Name": name, "BasePath": path.Join(c.meta.Name, "templates")},
		}
		var text bytes.Buffer
		if err := all.ExecuteTemplate(&text, name, data); err != nil {
			return nil, err
		}
		said := strings.ReplaceAll(text.String(), "<no value>", "")
		out.Texts[name] = said
		if strings.HasSuffix(name, "NOTES.txt") {
			out.Notes = said
			continue
		}
		for _, document := range separator.Split(said, -1) {
			var object dict
			if err := yaml.UnmarshalStrict([]byte(strings.TrimSpace(document)), &object); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, document)
			}
			if object != nil {
				out.Objects = append(out.Objects, object)
			}
		}
	}
	return out, nil
}

func run() error {
	c, err := readChart(os.Args[1])
	if err != nil {
		return err
	}
	var cases []testCase
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		return fmt.Errorf("cases: %w", err)
	}
	results := []*result{}
	for _, tc := range cases {
		r, err := c.render(tc)
		if err != nil {
			r = &result{Error: err.Error()}
		}
		results = append(results, r)
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: render CHART <cases >results")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}
