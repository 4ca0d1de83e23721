package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/livekit/protocol/logger"
	lkredis "github.com/livekit/protocol/redis"
	"github.com/livekit/psrpc"
	goredis "github.com/redis/go-redis/v9"
	"go.yaml.in/yaml/v3"
)

// config is read from the same kind of file as that of LiveKit's own egress; what is not ours is
// ignored.
type config struct {
	Redis     *lkredis.RedisConfig `yaml:"redis"`
	APIKey    string               `yaml:"api_key"`
	APISecret string               `yaml:"api_secret"`
	WsURL     string               `yaml:"ws_url"`

	Bind           string        `yaml:"bind"`            // "": every address
	HealthPort     int           `yaml:"health_port"`     // 0: none
	PrometheusPort int           `yaml:"prometheus_port"` // 0: none
	Logging        logger.Config `yaml:"logging"`

	// Ours: which ffmpeg decodes and encodes, and how many egresses run at once.
	FFmpeg     string `yaml:"ffmpeg"`
	MaxAtOnce  int    `yaml:"max_at_once"`
	Temporary  string `yaml:"temporary"`
	configFile string
}

func readConfig(path string) (*config, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &config{
		APIKey:     os.Getenv("LIVEKIT_API_KEY"),
		APISecret:  os.Getenv("LIVEKIT_API_SECRET"),
		WsURL:      os.Getenv("LIVEKIT_WS_URL"),
		Logging:    logger.Config{JSON: true, Level: "info"},
		MaxAtOnce:  10,
		configFile: path,
	}
	if err := yaml.Unmarshal(body, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.FFmpeg == "" {
		c.FFmpeg = "ffmpeg"
	}
	if c.FFmpeg, err = exec.LookPath(c.FFmpeg); err != nil {
		return nil, fmt.Errorf("no ffmpeg (set `ffmpeg` in %s): %w", path, err)
	}
	if c.Redis == nil || c.APIKey == "" || c.APISecret == "" || c.WsURL == "" {
		return nil, fmt.Errorf("%s must name redis, api_key, api_secret and ws_url", path)
	}
	return c, nil
}

// openBus connects to the Redis of livekit-server, over which all RPC goes.
func (c *config) openBus() (psrpc.MessageBus, goredis.UniversalClient, error) {
	client, err := lkredis.GetRedisClient(c.Redis)
	if err != nil {
		return nil, nil, err
	}
	return psrpc.NewRedisMessageBus(client), client, nil
}
