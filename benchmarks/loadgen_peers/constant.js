// k6's open loop, for benchmarks/loadgen.py: RATE requests a second for SECONDS; without RATE as fast as 32 users go.
import http from 'k6/http';

const rate = Number(__ENV.RATE || 0);
const duration = `${__ENV.SECONDS}s`;
const open = { executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration, preAllocatedVUs: 32, maxVUs: 32 };
const closed = { executor: 'constant-vus', vus: 32, duration };

export const options = { scenarios: { all: rate ? open : closed }, summaryTrendStats: ['p(99)'] };

const body = '{"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}';
const parameters = { headers: { 'Content-Type': 'application/json' } };

export default function () {
  http.post(__ENV.URL, body, parameters);
}
