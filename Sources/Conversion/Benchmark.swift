import Foundation
import Gemma4
import Generation
import Media
import Tensors

/// Measures a model's speed on this machine, next to the machine's limits.
package struct Benchmark: Sendable {
    package var promptTokens = 512
    package var generatedTokens = 32
    /// Context lengths at which decoding is measured separately.
    package var depths: [Int] = []
    /// Number of measured rounds, after one warm-up round; medians are reported.
    package var repeats = 3
    /// Soft-token budgets of the image.
    package var imageBudgets = [70, 140, 280, 560, 1120]
    /// The image to encode; nil: a synthetic one of 1280 × 960.
    package var image: Pixels?
    /// The recording to encode, mono at 16 kHz, in segments of at most 30 s; nil: 29.6 s of synthetic sound.
    package var audio: [Float]?

    package init() {}

    package struct Result: Sendable, Codable {
        package var loadSeconds = 0.0
        package var prefillTokensPerSecond = 0.0
        /// From the prompt to the first token.
        package var timeToFirstTokenSeconds = 0.0
        package var decodeTokensPerSecond = 0.0
        /// (slowest − fastest) / median of the rounds.
        package var prefillSpread = 0.0
        package var decodeSpread = 0.0
        package var depths: [Depth] = []
        /// Bytes of weights that one generated token reads, times tokens per second.
        package var readGigabytesPerSecond = 0.0
        /// Multiplications and additions with weights in prefill.
        package var prefillGigaflopsPerSecond = 0.0
        package var images: [Image] = []
        package var audio: Audio?
        package var parallel: [Parallel] = []
        package var interruption: Interruption?
        package var drafting: Drafting?
        package var transcriptions: [Transcription] = []
        package var peakResidentBytes = 0
        package var machineReadGigabytesPerSecond = 0.0
        package var machineSgemmGigaflopsPerSecond = 0.0
        /// SGEMM rate of OpenBLAS, measured between the text rounds.
        package var prefillSgemmGigaflopsPerSecond = 0.0
        /// Speed of the process's first products relative to later ones.
        package var firstProductShare = 0.0

        package struct Depth: Sendable, Codable {
            package let depth: Int
            package let decodeTokensPerSecond: Double
            /// For a prompt of `depth` tokens; nil if `depth` is 0 or it was not measured.
            package let prefillTokensPerSecond: Double?
            /// Size of the KV cache at that depth.
            package let keyValueBytes: Int
        }

        /// Extrapolated from two measured depths to larger ones: the time per token grows linearly with the depth.
        package var foretoldDepths: [Depth] = []

        package struct Image: Sendable, Codable {
            package let budget, softTokens: Int
            package let tower: Tower
        }

        package struct Audio: Sendable, Codable {
            package let recordingSeconds: Double
            package let tower: Tower
            /// Computing time per second of sound.
            package var realTimeFactor: Double { tower.seconds / recordingSeconds }
        }

        package struct Tower: Sendable, Codable {
            /// The median of the rounds.
            package let seconds: Double
            /// The warm-up round: for the first budget, the first image of the process.
            package let firstSeconds: Double
            /// Multiplications and additions of linear layers, convolutions and attention.
            package let gigaflops: Double
            /// SGEMM rate of OpenBLAS, measured between the rounds.
            package let sgemmGigaflopsPerSecond: Double
            package var gigaflopsPerSecond: Double { gigaflops / seconds }
        }
    }

    /// - Parameters:
    ///   - loadSeconds: the time that loading `model` took.
    ///   - report: called with the name of each measurement.
    /// - Throws: `ModelInputError`; `MediaError` if the image is too large; `BLASMemoryError`.
    package func run(_ model: Gemma4Model, loadSeconds: Double, report: (String) -> Void = { _ in }) throws -> Result {
        var result = Result()
        result.loadSeconds = loadSeconds
        let picture = try image ?? Self.picture(width: 1280, height: 960)
        let samples = audio ?? Self.sound(count: Int(29.6 * Double(AudioReader.sampleRate)))
        report("the machine's limits")
        let peakOfLoading = Self.peakResidentBytes
        let limits = try MachineLimits(measuring: model.device)
        result.machineReadGigabytesPerSecond = limits.readGigabytesPerSecond
        result.machineSgemmGigaflopsPerSecond = limits.sgemmGigaflopsPerSecond
        result.firstProductShare = limits.firstProductShare
        Self.forgetPeakResidentBytes()  // measuring the limits allocates memory
        report("text: \(promptTokens) tokens read, \(generatedTokens) written")
        let (prefills, decodes, sgemmRates) = try measureText(model)
        result.prefillSgemmGigaflopsPerSecond = Self.middle(sgemmRates)
        let (prefill, decode) = (Self.middle(prefills), Self.middle(decodes))
        result.prefillSpread = (prefills.max()! - prefills.min()!) / prefill
        result.decodeSpread = (decodes.max()! - decodes.min()!) / decode
        let work = TextWork(TensorTable(model.configuration), model.configuration.textConfig.layerPlans)
        result.prefillTokensPerSecond = Double(promptTokens) / prefill
        result.timeToFirstTokenSeconds = prefill
        result.decodeTokensPerSecond = Double(generatedTokens) / decode
        result.readGigabytesPerSecond =
            Double(model.weightBytesPerToken) * result.decodeTokensPerSecond / 1e9
        result.prefillGigaflopsPerSecond =
            2 * Double(work.parametersPerPromptToken) * result.prefillTokensPerSecond / 1e9

        if !depths.isEmpty {
            report("\(generatedTokens) tokens written after \(depths.map { "\($0)" }.joined(separator: " and "))")
            result.depths = zip(depths, try measureDepths(model)).map { depth, seconds in
                .init(
                    depth: depth, decodeTokensPerSecond: Double(generatedTokens) / seconds.decode,
                    prefillTokensPerSecond: depth > 0 ? Double(depth) / seconds.prefill : nil,
                    keyValueBytes: model.cacheByteCount(positions: depth, chunkLength: Self.chunkLength))
            }
            result.foretoldDepths = Self.foretold(result.depths, model)
        }
        if model.configuration.takesImages {
            result.images = try imageBudgets.map { try measurePicture(model, picture, $0, report) }
        }
        if model.configuration.takesSound { result.audio = try measureSound(model, samples, report) }
        result.peakResidentBytes = max(peakOfLoading, Self.peakResidentBytes)
        return result
    }

    func measurePicture(
        _ model: Gemma4Model, _ picture: Pixels, _ budget: Int, _ report: (String) -> Void
    ) throws -> Result.Image {
        report("a picture of \(picture.width) × \(picture.height) at \(budget) soft tokens")
        let towers = TowerWork(configuration: model.configuration)
        let processor = try ImageProcessor(model.configuration, maxSoftTokens: budget)
        var softTokens = 0
        let tower = try measureTower(model) {
            let patches = try processor(width: picture.width, height: picture.height, rgb: picture.rgb)
            softTokens = try model.softTokens(patches).rows
            return towers.picture(patches: patches.count, softTokens: softTokens)
        }
        return .init(budget: budget, softTokens: softTokens, tower: tower)
    }

    func measureSound(
        _ model: Gemma4Model, _ samples: [Float], _ report: (String) -> Void
    ) throws -> Result.Audio {
        let recordingSeconds = Double(samples.count) / Double(AudioReader.sampleRate)
        report("\(String(format: "%.1f", recordingSeconds)) s of sound")
        let towers = TowerWork(configuration: model.configuration)
        let features = try SoundFeatures(model.configuration)
        let pieces = AudioSplitter().pieces(of: samples).map { Array(samples[$0]) }
        let tower = try measureTower(model) {
            try pieces.reduce(0) { work, piece in
                let frames = try features(piece)
                _ = try model.softTokens(sound: frames)
                return work + towers.sound(frames: frames.count / features.columns)
            }
        }
        return .init(recordingSeconds: recordingSeconds, tower: tower)
    }

    /// Prefill and decode time of each round in seconds, and the SGEMM rate of OpenBLAS before it.
    private func measureText(
        _ model: Gemma4Model
    ) throws -> (prefills: [Double], decodes: [Double], sgemmRates: [Double]) {
        let clock = ContinuousClock()
        var prefills: [Double] = []
        var decodes: [Double] = []
        var sgemmRates: [Double] = []
        for round in 0...repeats {
            let cache = model.makeCache()
            let sgemmRate = try MachineLimits.currentSgemmRate(model.device)
            let start = clock.now
            try read(randomTokens(promptTokens, model), model, cache)
            let prefill = start.duration(to: clock.now).inSeconds
            let decode = try clock.measure {
                for token in randomTokens(generatedTokens, model) { try write(token, model, cache) }
            }.inSeconds
            guard round > 0 else { continue }
            prefills.append(prefill)
            decodes.append(decode)
            sgemmRates.append(sgemmRate)
        }
        return (prefills, decodes, sgemmRates)
    }

    /// Common context lengths, within the model's context.
    private static func foretold(_ depths: [Result.Depth], _ model: Gemma4Model) -> [Result.Depth] {
        let sorted = depths.sorted { $0.depth < $1.depth }
        guard let first = sorted.first, let last = sorted.last, first.depth < last.depth else { return [] }
        let perPosition =
            (1 / last.decodeTokensPerSecond - 1 / first.decodeTokensPerSecond) / Double(last.depth - first.depth)
        return model.configuration.textConfig.foretoldLengths.filter { $0 > last.depth }.map { depth in
            let seconds = 1 / last.decodeTokensPerSecond + max(0, perPosition) * Double(depth - last.depth)
            return .init(
                depth: depth, decodeTokensPerSecond: 1 / seconds, prefillTokensPerSecond: nil,
                keyValueBytes: model.cacheByteCount(positions: depth, chunkLength: chunkLength))
        }
    }

    /// For each depth the prefill time and the median decode time, in seconds. Alternates between the depths token by
    /// token, so that slower and faster phases of the machine affect all of them; each round continues after the tokens
    /// of the previous one.
    private func measureDepths(_ model: Gemma4Model) throws -> [(prefill: Double, decode: Double)] {
        var prefills: [Double] = []
        let caches = try depths.map { depth in
            let cache = model.makeCache()
            prefills.append(
                try ContinuousClock().measure {
                    if depth > 0 { try read(randomTokens(depth, model), model, cache) }
                }.inSeconds)
            return cache
        }
        let rounds = try (0...repeats).map { _ in
            var seconds = [Double](repeating: 0, count: depths.count)
            for token in randomTokens(generatedTokens, model) {
                for (index, cache) in caches.enumerated() {
                    seconds[index] += try ContinuousClock().measure { try write(token, model, cache) }.inSeconds
                }
            }
            return seconds
        }
        return depths.indices.map { depth in
            (prefills[depth], Self.middle(rounds.dropFirst().map { $0[depth] }))
        }
    }

    private func read(_ tokens: [Int], _ model: Gemma4Model, _ cache: KVCache) throws {
        for first in stride(from: 0, to: tokens.count, by: Self.chunkLength) {
            let chunk = first..<min(tokens.count, first + Self.chunkLength)
            let isLast = chunk.upperBound == tokens.count
            let hidden = try model([
                .init(tokens: Array(tokens[chunk]), wantedRows: isLast ? [chunk.count - 1] : [], cache: cache)
            ])
            if isLast { _ = model.logits(hidden) }
        }
    }

    private func write(_ token: Int, _ model: Gemma4Model, _ cache: KVCache) throws {
        _ = model.logits(try model([.init(tokens: [token], wantedRows: [0], cache: cache)]))
    }

    func randomTokens(_ count: Int, _ model: Gemma4Model, seed: UInt64 = 0) -> [Int] {
        var random = SplitMix64(state: seed)
        let vocabulary = model.configuration.textConfig.vocabSize
        return (0..<count).map { _ -> Int in
            var token = Int.random(in: 0..<vocabulary, using: &random)
            while model.isPlaceholder(token) { token = Int.random(in: 0..<vocabulary, using: &random) }
            return token
        }
    }

    /// - Parameter body: returns the number of multiplications and additions.
    private func measureTower(_ model: Gemma4Model, _ body: () throws -> Int) throws -> Result.Tower {
        let clock = ContinuousClock()
        var work = 0
        let first = try clock.measure { work = try body() }.inSeconds
        var seconds: [Double] = []
        var sgemmRates = [try MachineLimits.currentSgemmRate(model.device)]
        for _ in 0..<repeats {
            seconds.append(try clock.measure { _ = try body() }.inSeconds)
            sgemmRates.append(try MachineLimits.currentSgemmRate(model.device))
        }
        return .init(
            seconds: Self.middle(seconds), firstSeconds: first, gigaflops: Double(work) / 1e9,
            sgemmGigaflopsPerSecond: Self.middle(sgemmRates))
    }

    /// Prompt tokens per pass.
    private static let chunkLength = 512

    static func middle(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    static func picture(width: Int, height: Int) throws(MediaError) -> Pixels {
        let rgb = (0..<width * height * 3).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 16) }
        return try Pixels(width: width, height: height, rgb: rgb)
    }

    static func sound(count: Int) -> [Float] {
        (0..<count).map { Float(sin(Double($0) * 0.05) * sin(Double($0) * 0.0007)) * 0.5 }
    }

    /// Peak resident memory of the process, in bytes; 0 if the system does not report it.
    static var peakResidentBytes: Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
    }

    /// Resets the peak to the current resident size, if the system can.
    private static func forgetPeakResidentBytes() {
        try? "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)
    }
}

/// The weights that are multiplied per token.
private struct TextWork {
    /// Per prompt token: all layers up to the last that writes keys and values, of which only the key and value
    /// projections.
    let parametersPerPromptToken: Int

    init(_ table: TensorTable, _ plans: [LayerPlan]) {
        let lastWriting = plans.last(where: \.ownsKeyValues)?.index ?? 0
        let active =
            table.parameterCount(.experts) == 0
            ? 1
            : Double(table.activeParameterCount - table.textParameterCount + table.parameterCount(.experts))
                / Double(table.parameterCount(.experts))
        parametersPerPromptToken = table.rows.reduce(0) { sum, row in
            guard
                let layer = row.name.range(of: ".layers.").flatMap({
                    Int(row.name[$0.upperBound...].prefix { $0.isNumber })
                }),
                row.name.contains("language_model"), row.part != .leftover
            else { return sum }
            let isRead =
                layer < lastWriting
                || (layer == lastWriting && (row.name.contains("k_proj") || row.name.contains("v_proj")))
            return isRead ? sum + (row.part == .experts ? Int(Double(row.shape.count) * active) : row.shape.count) : sum
        }
    }
}
