import Foundation
import Gemma4Kit

// usage: consumer CHECKPOINT PICTURE RECORDING
// A small service: eight conversations, a transcription and a cancellation at once on one model, and its numbers.
let arguments = CommandLine.arguments
let pipeline = try Gemma4Pipeline(
    contentsOf: URL(filePath: arguments[1]), limits: EngineLimits(memoryBytes: 256 << 20, runningSequences: 8))
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

let statistics = await pipeline.statistics
print("ended:", statistics.ended, "running:", statistics.running, "media encoded before:", statistics.mediaHits)
