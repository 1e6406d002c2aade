import Foundation
import Gemma4Kit

// usage: consumer CHECKPOINT PICTURE RECORDING; fails if 500 conversations leave more in memory than 150.
// A small service: eight conversations, a transcription and a cancellation at once on one model, and its numbers.
let arguments = CommandLine.arguments
let pipeline = try Gemma4Pipeline(
    contentsOf: URL(filePath: arguments[1]), limits: EngineLimits(memoryBytes: 32 << 20, runningSequences: 8))
let (picture, recording) = (URL(filePath: arguments[2]), URL(filePath: arguments[3]))
let options = GenerationOptions(sampling: .greedy, maxTokens: 8)

async let transcript = pipeline.transcribe(.file(recording)).transcript()

let cancelled = Task {
    try await pipeline.conversation().respond(to: "Count to a million.", options: .init(maxTokens: 100_000)).text
}

try await withThrowingTaskGroup(of: (Int, Int).self) { group in
    for user in 0..<8 {
        group.addTask {
            let conversation = pipeline.conversation(system: "Be brief.")
            let first = try await conversation.respond(
                to: "Hello, I am \(user).", images: [.file(picture)], options: options)
            let second = try await conversation.respond(to: "And now?", options: options)
            return (first.tokens.count + second.tokens.count, second.finish?.statistics.cachedTokens ?? 0)
        }
    }
    cancelled.cancel()
    for try await (tokens, cached) in group { print("conversation:", tokens, "tokens,", cached, "found in the cache") }
}
print("transcription:", try await transcript.segments.count, "segments")
if case .failure(let error) = await cancelled.result { print("cancelled:", error is CancellationError) }

/// Resident memory of this process in bytes; nil on systems without Linux's `/proc`.
func residentBytes() -> Int? {
    guard let fields = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ") else {
        return nil
    }
    return Int(fields[1]).map { $0 * Int(sysconf(Int32(_SC_PAGESIZE))) }
}

/// Conversations of two turns, eight at a time.
func converse(_ count: Int) async throws {
    for first in stride(from: 0, to: count, by: 8) {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for user in first..<min(first + 8, count) {
                group.addTask {
                    let conversation = pipeline.conversation(system: "Be brief.")
                    _ = try await conversation.respond(to: "I am \(user).", options: options)
                    _ = try await conversation.respond(to: "And now?", options: options)
                }
            }
            try await group.waitForAll()
        }
    }
}

// The cache of ended conversations is bounded: once it is full, memory stays constant.
try await converse(150)
let before = residentBytes()
try await converse(350)
if let before, let after = residentBytes() {
    print("500 conversations:", (after - before) >> 20, "MB more than 150")
    guard after - before < before / 50 else { exit(1) }
}

let statistics = await pipeline.statistics
print("ended:", statistics.ended, "running:", statistics.running, "media encoded before:", statistics.mediaHits)
