// Fortio's HTTP runner without its command line, which imports a module that not every proxy has.
//
//	fortio -url URL -qps N -seconds N -connections N -body FILE
package main

import (
	"encoding/json"
	"flag"
	"os"
	"time"

	"fortio.org/fortio/fhttp"
	"fortio.org/fortio/periodic"
	"fortio.org/log"
)

func main() {
	url := flag.String("url", "", "where to send")
	qps := flag.Float64("qps", 0, "requests a second; negative: as fast as it goes")
	seconds := flag.Float64("seconds", 5, "how long")
	connections := flag.Int("connections", 32, "connections")
	body := flag.String("body", "", "file with the body")
	flag.Parse()
	log.SetLogLevelQuiet(log.Warning)
	payload, err := os.ReadFile(*body)
	if err != nil {
		panic(err)
	}
	options := fhttp.HTTPRunnerOptions{
		RunnerOptions: periodic.RunnerOptions{
			QPS: *qps, Duration: time.Duration(*seconds * float64(time.Second)), NumThreads: *connections,
			Percentiles: []float64{50, 99}, Out: os.Stderr,
		},
	}
	options.URL, options.Payload, options.ContentType = *url, payload, "application/json"
	result, err := fhttp.RunHTTPTest(&options)
	if err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"requests": result.DurationHistogram.Count, "codes": result.RetCodes, "qps": result.ActualQPS,
	})
}
