// An HTTP worker with Go's standard library alone.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/ping", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]string{"message": "pong"})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		who := r.Header.Get("X-Auth-Email")
		if who == "" {
			who = "nobody"
		}
		reply(w, map[string]string{"hello": who})
	})

	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: mux}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		<-stop.Done()
		_ = server.Shutdown(context.Background())
		close(drained)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-drained
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
