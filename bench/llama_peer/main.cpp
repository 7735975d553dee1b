// llama.cpp's own loop over one model: `llama_peer first|time FILE THREADS TOKENS SHORT` prints
// medians as JSON: TOKENS are read, and behind SHORT others is written. Batches go through
// llama_decode with nothing between them; the likeliest token comes next.

#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

static const int CONTEXT = 2048, ROUNDS = 3, WRITTEN = 48, AT_ONCE = 8, BATCH = 512;
// Words of the tiny vocabulary stand behind 259 others; any will do, and none of these ends a text.
static const int FIRST_WORD = 260, WORDS = 30;

struct Piece {
    llama_token token;
    int position, sequence;
    bool wanted;
};

static llama_context * context;
static llama_batch batch;
static int vocabulary;

static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static double median(std::vector<double> found) {
    std::sort(found.begin(), found.end());
    return found[found.size() / 2];
}

// The likeliest tokens behind those pieces that are wanted.
static std::vector<llama_token> decode(const std::vector<Piece> & pieces) {
    batch.n_tokens = int(pieces.size());
    for (size_t at = 0; at < pieces.size(); at++) {
        batch.token[at] = pieces[at].token;
        batch.pos[at] = pieces[at].position;
        batch.n_seq_id[at] = 1;
        batch.seq_id[at][0] = pieces[at].sequence;
        batch.logits[at] = pieces[at].wanted;
    }
    if (llama_decode(context, batch) != 0) {
        std::fprintf(stderr, "llama_decode failed\n");
        std::exit(1);
    }
    std::vector<llama_token> next;
    for (size_t at = 0; at < pieces.size(); at++) {
        if (pieces[at].wanted) {
            const float * row = llama_get_logits_ith(context, int(at));
            next.push_back(llama_token(std::max_element(row, row + vocabulary) - row));
        }
    }
    return next;
}

static llama_token read(int tokens, int sequence) {
    llama_token next = 0;
    for (int start = 0; start < tokens; start += BATCH) {
        std::vector<Piece> pieces;
        for (int at = start; at < std::min(tokens, start + BATCH); at++) {
            pieces.push_back({FIRST_WORD + (7 * at + sequence) % WORDS, at, sequence, at + 1 == tokens});
        }
        const auto found = decode(pieces);
        next = found.empty() ? next : found[0];
    }
    return next;
}

static void forget() { llama_memory_clear(llama_get_memory(context), true); }

int main(int count, char ** words) {
    if (count != 6) {
        std::fprintf(stderr, "usage: llama_peer first|time FILE THREADS TOKENS SHORT\n");
        return 1;
    }
    const int threads = std::atoi(words[3]), tokens = std::atoi(words[4]), few = std::atoi(words[5]);
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    const double start = now();
    llama_backend_init();
    llama_model * model = llama_model_load_from_file(words[2], llama_model_default_params());
    if (!model) return 1;
    llama_context_params settings = llama_context_default_params();
    settings.n_ctx = CONTEXT;
    settings.n_batch = BATCH;
    settings.n_seq_max = AT_ONCE;
    settings.kv_unified = true;
    settings.n_threads = settings.n_threads_batch = threads;
    context = llama_init_from_model(model, settings);
    if (!context) return 1;
    vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    batch = llama_batch_init(BATCH, 0, 1);
    read(tokens, 0);
    if (std::strcmp(words[1], "first") == 0) {
        std::printf("{\"ms\": %f}\n", (now() - start) * 1e3);
        return 0;
    }
    std::vector<double> prefill, single, parallel;
    for (int round = 0; round < ROUNDS; round++) {
        forget();
        double begun = now();
        read(tokens, 0);
        prefill.push_back(tokens / (now() - begun));

        forget();
        llama_token next = read(few, 0);
        begun = now();
        for (int at = 0; at < WRITTEN; at++) next = decode({{next, few + at, 0, true}})[0];
        single.push_back(WRITTEN / (now() - begun));

        forget();
        std::vector<llama_token> each;
        for (int sequence = 0; sequence < AT_ONCE; sequence++) each.push_back(read(few, sequence));
        begun = now();
        for (int at = 0; at < WRITTEN; at++) {
            std::vector<Piece> pieces;
            for (int sequence = 0; sequence < AT_ONCE; sequence++) pieces.push_back({each[sequence], few + at, sequence, true});
            each = decode(pieces);
        }
        parallel.push_back(AT_ONCE * WRITTEN / (now() - begun));
    }
    std::printf("{\"prefill_tokens_per_s\": %f, \"decode_tokens_per_s\": %f, \"parallel_tokens_per_s\": %f}\n", median(prefill), median(single), median(parallel));
    return 0;
}
