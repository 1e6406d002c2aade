import Foundation
import Gemma4
import Generation
import Media

extension Benchmark {
    /// Throughput of several sequences that decode together.
    package struct Parallel: Sendable, Codable {
        package let sequences: Int
        /// Sum over all sequences.
        package let tokensPerSecond: Double
        /// The lower of two limits: `sequences` times the rate of one sequence, and the arithmetic rate of prefill.
        /// `share` is the fraction reached.
        package let limitTokensPerSecond: Double
        package var tokensPerSecondEach: Double { tokensPerSecond / Double(sequences) }
        package var share: Double { tokensPerSecond / limitTokensPerSecond }
    }

    /// Effect of drafting by prompt lookup.
    package struct Drafting: Sendable, Codable {
        /// Tokens per second of an answer that copies its prompt, and of one whose drafts are all rejected.
        package var copy = 0.0, other = 0.0
        /// The same without drafts.
        package var plainCopy = 0.0, plainOther = 0.0
        /// Tokens per pass while copying.
        package var tokensPerPass = 0.0
        package var copyRatio: Double { copy / plainCopy }
        package var otherRatio: Double { other / plainOther }
    }

    /// A whole transcription, from log-mel frames to tokens.
    package struct Transcription: Sendable, Codable {
        package let recordingSeconds: Double
        package let parallelPieces: Int
        package let seconds: Double
        /// Computing time per second of sound.
        package var realTimeFactor: Double { seconds / recordingSeconds }
    }

    /// Latency between tokens of a running answer while an image and a long prompt arrive.
    package struct Interruption: Sendable, Codable {
        package let softTokens, promptTokens: Int
        /// Between two tokens, before the other requests arrive and while they are processed.
        package let quietMedianSeconds, medianSeconds, longestSeconds: Double
    }

    /// Prompt length of the sequences that decode together: short, so that all of them soon decode.
    private static let parallelPromptTokens = 16

    /// Decodes with several sequences at once.
    ///
    /// - Parameters:
    ///   - counts: numbers of sequences.
    ///   - prefillGigaflopsPerSecond: the rate of prefill in the same run.
    /// - Throws: `ModelInputError`, `EngineError`.
    package func decodeTogether(
        _ model: Gemma4Model, counts: [Int], prefillGigaflopsPerSecond: Double, report: (String) -> Void = { _ in }
    ) async throws -> [Parallel] {
        let engine = Engine(model, nil, .benchmark, limits: .init(runningSequences: counts.max() ?? 1))
        let cores = prefillGigaflopsPerSecond * 1e9 / Double(model.operationsPerToken)
        _ = try await rate(engine, sequences: 1)  // warms up
        var rates: [Int: [Double]] = [:]
        for _ in 0..<repeats {
            for count in Set(counts).union([1]).sorted() {
                report("\(count) sequences that decode together")
                rates[count, default: []].append(try await rate(engine, sequences: count))
            }
        }
        let single = Self.middle(rates[1]!)
        return counts.map { count in
            Parallel(
                sequences: count, tokensPerSecond: Self.middle(rates[count]!),
                limitTokensPerSecond: min(Double(count) * single, max(cores, single)))
        }
    }

    /// Tokens per second while all sequences decode.
    private func rate(_ engine: Engine, sequences: Int) async throws -> Double {
        let streams = (0..<sequences).map { index in
            let tokens = randomTokens(
                Self.parallelPromptTokens + generatedTokens, engine.model, seed: UInt64(index + 1))
            let prompt = Prompt(tokens: Array(tokens.prefix(Self.parallelPromptTokens)))
            return engine.answer(Self.forced(Array(tokens.dropFirst(Self.parallelPromptTokens)))) { prompt }
        }
        let times = try await withThrowingTaskGroup(of: [ContinuousClock.Instant].self) { group in
            for stream in streams {
                group.addTask {
                    var times: [ContinuousClock.Instant] = []
                    for try await _ in stream { times.append(.now) }
                    return times
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let (start, end) = (times.map { $0[0] }.max()!, times.map { $0.last! }.min()!)
        let written = times.joined().count { $0 > start && $0 <= end }
        return Double(written) / start.duration(to: end).inSeconds
    }

    /// Forces an answer of 200 tokens copied from the prompt, and one of 200 tokens in which every third to fifth token
    /// deviates from the run of the prompt before it, alternately with and without drafts.
    ///
    /// - Throws: `ModelInputError`, `EngineError`.
    package func draft(_ model: Gemma4Model) async throws -> Drafting {
        let engine = Engine(model, nil, .benchmark, limits: .init())
        let passage = randomTokens(256, model, seed: 1)
        let copied = Array(passage[20..<220])
        var random = SplitMix64(state: 2)
        let others = randomTokens(200, model, seed: 3)
        var misleading: [Int] = []
        while misleading.count < 200 {
            let place = Int.random(in: 0..<250, using: &random)
            misleading += passage[place..<place + Int.random(in: 3...5, using: &random)] + [others[misleading.count]]
        }
        func answer(_ tokens: [Int], _ draft: GenerationOptions.Draft?) async throws -> GenerationStatistics {
            var options = Self.forced(tokens)
            options.draft = draft
            return try await engine.answer(options) { Prompt(tokens: passage) }.answer().finish!.statistics
        }
        _ = try await answer(copied, .lookup)  // warms up, and measures passes
        var rates: [[Double]] = [[], [], [], []]
        var result = Drafting()
        for _ in 0..<repeats {
            for (index, tokens) in [copied, Array(misleading.prefix(200))].enumerated() {
                rates[index].append(try await answer(tokens, nil).decodeTokensPerSecond)
                let guessed = try await answer(tokens, .lookup)
                rates[index + 2].append(guessed.decodeTokensPerSecond)
                if index == 0 {
                    result.tokensPerPass =
                        Double(guessed.generatedTokens) / Double(guessed.generatedTokens - guessed.acceptedTokens)
                }
            }
        }
        (result.plainCopy, result.plainOther) = (Self.middle(rates[0]), Self.middle(rates[1]))
        (result.copy, result.other) = (Self.middle(rates[2]), Self.middle(rates[3]))
        return result
    }

    /// Transcribes synthetic sound: segments of 28 s, each with an instruction of 70 tokens and an answer of 100.
    ///
    /// - Throws: `ModelInputError` if the model has no audio input, `EngineError`.
    package func transcribe(_ model: Gemma4Model, seconds: Double, parallelPieces: Int) async throws -> Transcription {
        guard model.configuration.takesSound else { throw ModelInputError(.noTower("audio")) }
        let engine = Engine(
            model, nil, .benchmark, limits: .init(mediaBytes: 0, runningSequences: parallelPieces, stepBound: .infinity)
        )
        let features = try SoundFeatures(model.configuration)
        let clock = ContinuousClock()
        let took = try await clock.measure {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, start) in stride(from: 0, to: seconds, by: 28).enumerated() {
                    if index >= parallelPieces { try await group.next() }
                    let count = Int(min(28, seconds - start) * Double(AudioReader.sampleRate))
                    group.addTask {
                        _ = try await engine.answer(Self.forced(randomTokens(100, model, seed: UInt64(index)))) {
                            let sound = Self.sound(count: count).map { $0 + Float(index) * 1e-4 }
                            let input = try EncoderInput(features, samples: sound)
                            let instruction = randomTokens(70, model, seed: UInt64(index))
                            let soft = [Int](repeating: model.configuration.audioTokenId!, count: input.softTokenCount)
                            return Prompt(
                                text: "", tokens: instruction + soft,
                                media: [(instruction.count..<instruction.count + soft.count, input)],
                                opensThought: false)
                        }.answer()
                    }
                }
                try await group.waitForAll()
            }
        }
        return Transcription(recordingSeconds: seconds, parallelPieces: parallelPieces, seconds: took.inSeconds)
    }

    /// Generates an answer while an image of at most 560 soft tokens and a prompt of 4,096 tokens arrive, and times its
    /// tokens until both have produced theirs.
    ///
    /// - Throws: `ModelInputError` if the model has no image input, `EngineError`, `MediaError`.
    package func interrupt(_ model: Gemma4Model) async throws -> Interruption {
        guard model.configuration.takesImages, let placeholder = model.configuration.imageTokenId else {
            throw ModelInputError(.noTower("image"))
        }
        let engine = Engine(model, nil, .benchmark, limits: .init())
        let picture = try Self.picture(width: 1280, height: 960)
        let processor = try ImageProcessor(model.configuration, maxSoftTokens: 560)
        let input = EncoderInput(try processor(width: picture.width, height: picture.height, rgb: picture.rgb))
        let soft = [Int](repeating: placeholder, count: input.softTokenCount)
        let prompt = randomTokens(4096, model, seed: 1)
        let (quiet, limit) = (24, 4096)
        let answer = engine.answer(Self.forced(randomTokens(limit, model))) { Prompt(tokens: randomTokens(16, model)) }
        let (begun, begin) = AsyncStream<Void>.makeStream()
        let writing = Task {
            var gaps: [Double] = []
            var last = ContinuousClock.now
            for try await _ in answer {
                gaps.append(last.duration(to: .now).inSeconds)
                last = .now
                if gaps.count == quiet + 1 { begin.finish() }
            }
            return gaps
        }
        for await _ in begun {}
        async let seen = engine.answer(Self.forced(randomTokens(1, model))) {
            Prompt(text: "", tokens: soft, media: [(soft.indices, input)], opensThought: false)
        }.answer()
        async let read = engine.answer(Self.forced(randomTokens(1, model))) { Prompt(tokens: prompt) }.answer()
        _ = try await (seen, read)
        writing.cancel()
        let gaps = try await writing.value
        let (before, meanwhile) = (gaps[1...quiet], gaps[(quiet + 1)...])
        return Interruption(
            softTokens: input.softTokenCount, promptTokens: prompt.count,
            quietMedianSeconds: Self.middle(Array(before)),
            medianSeconds: Self.middle(Array(meanwhile)), longestSeconds: meanwhile.max() ?? 0)
    }

    private static func forced(_ tokens: [Int]) -> GenerationOptions {
        var options = GenerationOptions(sampling: .greedy, maxTokens: tokens.count, loopGuard: nil)
        options.forcedTokens = tokens
        options.endsAtStopTokens = false
        options.keepsCache = false
        return options
    }
}

extension Engine.AnswerDefaults {
    fileprivate static var benchmark: Self {
        .init(sampling: .greedy, suppressed: [], media: [], stopTokens: []) { ModelInputError(.notFinite) }
    }
}
