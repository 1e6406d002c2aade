import ArgumentParser
import Conversion
import Foundation
import Gemma4
import Gemma4Kit
import Tensors
import Weights

struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure a model on this machine.",
        discussion: """
            With --synthetic, weights of a published shape are made up in memory: see what a model would do here before \
            downloading it.

            Example: gemma4 bench --synthetic E2B
            """)

    @Option(help: ArgumentHelp("Directory as downloaded, or a .gguf file.", valueName: "path"))
    var model: String?

    @Option(help: ArgumentHelp("Towers of a .gguf file; default: found beside it.", valueName: "file"))
    var mmproj: String?

    @Option(
        help: ArgumentHelp(
            "Made-up weights of this shape: E2B, E4B, 12B, 31B, 26B-A4B, E2B-mobile, EmbeddingGemma2.",
            valueName: "variant"))
    var synthetic: String?

    @OptionGroup var precision: PrecisionOptions

    @Option(help: ArgumentHelp("Also write after so many tokens: 0,4096.", valueName: "counts"))
    var depth: String?

    @Option(help: ArgumentHelp("Also write so many answers at once: 1,2,4,8,16.", valueName: "counts"))
    var parallel: String?

    @Option(help: ArgumentHelp("Also transcribe made-up sound, a piece at a time and eight at once.", valueName: "s"))
    var transcribe: Double?

    @Flag(help: "Also write what the prompt holds, with --draft lookup.")
    var draft = false

    @Option(help: ArgumentHelp("Picture to read; default: a made-up one.", valueName: "file"))
    var image: String?

    @Option(help: ArgumentHelp("Soft tokens of the picture at most: 70, 140, 280, 560, 1120.", valueName: "counts"))
    var imageTokens: String?

    @Option(help: ArgumentHelp("Recording to read; default: 29.6 s of made-up sound.", valueName: "file"))
    var audio: String?

    @Option(help: "Tokens read.")
    var promptTokens = 512

    @Option(help: "Tokens written.")
    var generatedTokens = 32

    @Option(help: "Rounds of each measurement, after one that warms up.")
    var repeats = 3

    @Option(help: "Threads that share one pass; by default all cores.")
    var threads: Int?

    @Option(help: "md, json or csv.")
    var format: Format = .md

    enum Format: String, ExpressibleByArgument, CaseIterable { case md, json, csv }

    private func depths() throws -> [Int] {
        try Self.counts(depth, "--depth: expected counts of tokens such as 0,4096")
    }

    private func parallelCounts() throws -> [Int] {
        let expected = "--parallel: expected counts of answers such as 1,2,4,8"
        let counts = try Self.counts(parallel, expected)
        guard counts.allSatisfy({ (1...256).contains($0) }) else {
            throw ValidationError("\(expected), found \(parallel!)")
        }
        return counts
    }

    private func imageBudgets() throws -> [Int]? {
        let budgets = ProcessorConfiguration.softTokenBudgets
        let expected = "--image-tokens: expected some of \(budgets.map(String.init).joined(separator: ","))"
        let counts = try Self.counts(imageTokens, expected)
        guard counts.allSatisfy(budgets.contains) else { throw ValidationError("\(expected), found \(imageTokens!)") }
        return counts.isEmpty ? nil : counts
    }

    private static func counts(_ list: String?, _ expected: String) throws -> [Int] {
        try (list ?? "").split(separator: ",").map { part in
            guard let count = Int(part), count >= 0 else { throw ValidationError("\(expected), found \(part)") }
            return count
        }
    }

    func validate() throws {
        guard (model == nil) != (synthetic == nil) else { throw ValidationError("Give either --model or --synthetic.") }
        guard promptTokens > 0, generatedTokens > 0, repeats > 0, threads ?? 1 > 0 else {
            throw ValidationError("--prompt-tokens, --generated-tokens, --repeats and --threads must be positive.")
        }
        _ = (try depths(), try imageBudgets(), try parallelCounts())
        if let transcribe, !(transcribe > 0 && transcribe <= 36_000) {
            throw ValidationError("--transcribe: expected more than 0 and at most 36000 seconds, found \(transcribe)")
        }
        if let synthetic, !ModelsDirectory.variants.contains(synthetic) {
            throw ValidationError(
                "--synthetic \(synthetic): expected one of \(ModelsDirectory.variants.joined(separator: ", ")).")
        }
    }

    func run() async throws {
        let clock = ContinuousClock()
        let start = clock.now
        let loaded = try load()
        let loadSeconds = start.duration(to: clock.now) / .seconds(1)
        var benchmark = Benchmark()
        benchmark.promptTokens = promptTokens
        benchmark.generatedTokens = generatedTokens
        benchmark.repeats = repeats
        benchmark.depths = try depths()
        benchmark.imageBudgets = try imageBudgets() ?? benchmark.imageBudgets
        benchmark.image = try image.map { try ImageInput(argument: $0).pixels() }
        benchmark.audio = try audio.map { try AudioInput(argument: $0).samples() }
        func report(_ what: String) { FileHandle.standardError.write(Data("measuring \(what)\n".utf8)) }
        if loaded.configuration.isEncoder {
            let result = try benchmark.embed(loaded, loadSeconds: loadSeconds, report: report)
            return print(try EmbeddingReport(result: result, title: title).text(format))
        }
        var result = try benchmark.run(loaded, loadSeconds: loadSeconds, report: report)
        let counts = try parallelCounts()
        if !counts.isEmpty {
            result.parallel = try await benchmark.decodeTogether(
                loaded, counts: counts, prefillGigaflopsPerSecond: result.prefillGigaflopsPerSecond, report: report)
        }
        if !counts.isEmpty, loaded.configuration.takesImages {
            report("an answer into which a picture and a long prompt come")
            result.interruption = try await benchmark.interrupt(loaded)
        }
        if draft {
            report("answers with and without guesses")
            result.drafting = try await benchmark.draft(loaded)
        }
        if let transcribe {
            for pieces in [1, 8] {
                report("\(transcribe) s transcribed, \(pieces) pieces at once")
                result.transcriptions.append(
                    try await benchmark.transcribe(loaded, seconds: transcribe, parallelPieces: pieces))
            }
        }
        switch format {
        case .json: print(try Self.json(result))
        case .csv: print(Self.csv(result))
        case .md: print(Self.table(result, title: title))
        }
    }

    private var title: String {
        let type = precision.quant?.argument ?? (synthetic?.hasSuffix("-mobile") == true ? "2 to 8 bit" : "bf16")
        let name = model ?? "\(synthetic!), made-up \(type) weights"
        return precision.towerPrecision == .fp32 ? name : "\(name), towers in 8 bits"
    }

    private func load() throws -> Gemma4Model {
        let device = Device(threadCount: threads)
        if let model {
            let source = try ModelSource(
                contentsOf: ModelPath.find(model, "--model <path>"), projector: mmproj.map { URL(filePath: $0) })
            if try source.configuration().isEncoder {
                return try Embedder(source, threadCount: threads, precision: precision.checked()).pipeline.model
            }
            return try precision.open(source, threads: threads).model
        }
        guard let models = ModelsDirectory.find() else {
            throw ValidationError(
                "The folder Models was found neither beside the program nor above it; run gemma4 from its source tree.")
        }
        let configuration = try ModelConfiguration(contentsOf: models.appending(path: "\(synthetic!)/config.json").path)
        let types = WeightTypes(layers: precision.precision.quantization)
        let rows = TensorTable(configuration).rows.filter { $0.part != .leftover }
        let elementTypes = Dictionary(
            uniqueKeysWithValues: rows.map { row in
                (row.name, types.type(of: row) ?? configuration.quantization?.storedType(of: row) ?? .bfloat16)
            })
        let needed = rows.reduce(0) { sum, row in
            let type = row.shape.rank > 1 ? elementTypes[row.name]! : .bfloat16
            return sum + type.byteCount(row.shape.count)
        }
        let available = MemoryLimit.current.availableBytes
        guard needed + 1_000_000_000 < available else {
            throw ValidationError(
                "\(synthetic!) in \(precision.quant?.argument ?? "bf16") needs \(Self.gigabytes(needed)) GB of memory and about 1 GB to work; "
                    + "\(Self.gigabytes(available)) GB are available.")
        }
        let weights = SyntheticWeights { elementTypes[$0] ?? .bfloat16 }
        let rounded = precision.precision.roundedTypes(configuration)
        return try Gemma4Model(
            configuration, WeightScope(weights, on: device) { rounded[$0] },
            towerActivations: precision.precision.towerActivations, keyValueType: precision.precision.keyValueType)
    }

    static func gigabytes(_ bytes: Int) -> String {
        String(format: bytes < 1_000_000_000 ? "%.2f" : "%.1f", Double(bytes) / 1e9)
    }

    static func json(_ result: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(result), as: UTF8.self)
    }

    private static func csv(_ result: Benchmark.Result) -> String {
        var rows: [(String, Double)] = [
            ("load_seconds", result.loadSeconds), ("prefill_tokens_per_second", result.prefillTokensPerSecond),
            ("time_to_first_token_seconds", result.timeToFirstTokenSeconds),
            ("decode_tokens_per_second", result.decodeTokensPerSecond),
            ("prefill_spread", result.prefillSpread), ("decode_spread", result.decodeSpread),
            ("read_gigabytes_per_second", result.readGigabytesPerSecond),
            ("machine_read_gigabytes_per_second", result.machineReadGigabytesPerSecond),
            ("machine_sgemm_gigaflops_per_second", result.machineSgemmGigaflopsPerSecond),
            ("prefill_sgemm_gigaflops_per_second", result.prefillSgemmGigaflopsPerSecond),
            ("first_product_share", result.firstProductShare),
            ("peak_resident_bytes", Double(result.peakResidentBytes)),
        ]
        for depth in result.depths {
            rows += [("decode_tokens_per_second_after_\(depth.depth)", depth.decodeTokensPerSecond)]
            rows += depth.prefillTokensPerSecond.map { [("prefill_tokens_per_second_of_\(depth.depth)", $0)] } ?? []
        }
        for image in result.images {
            rows += [
                ("image_seconds_\(image.softTokens)", image.tower.seconds),
                ("image_first_seconds_\(image.softTokens)", image.tower.firstSeconds),
                ("image_gigaflops_\(image.softTokens)", image.tower.gigaflops),
                ("image_sgemm_gigaflops_per_second_\(image.softTokens)", image.tower.sgemmGigaflopsPerSecond),
            ]
        }
        if let audio = result.audio {
            rows += [
                ("audio_seconds", audio.tower.seconds), ("audio_gigaflops", audio.tower.gigaflops),
                ("audio_sgemm_gigaflops_per_second", audio.tower.sgemmGigaflopsPerSecond),
            ]
        }
        rows += result.parallel.map { ("tokens_per_second_of_\($0.sequences)", $0.tokensPerSecond) }
        if let drafting = result.drafting {
            rows += [
                ("draft_copy_tokens_per_second", drafting.copy),
                ("draft_copy_ratio", drafting.copyRatio), ("draft_other_ratio", drafting.otherRatio),
            ]
        }
        rows += result.transcriptions.map { ("transcription_seconds_of_\($0.parallelPieces)", $0.seconds) }
        return (["measure,value"] + rows.map { "\($0.0),\(String(format: "%.6g", $0.1))" }).joined(separator: "\n")
    }

    private static func table(_ result: Benchmark.Result, title: String) -> String {
        func number(_ value: Double, _ digits: Int = 1) -> String { String(format: "%.\(digits)f", value) }
        func share(_ value: Double, of limit: Double) -> String { String(format: "%.0f %%", 100 * value / limit) }
        var lines = [
            "| \(title) | | of this machine's limit |", "|---|---|---|",
            "| load | \(number(result.loadSeconds, 2)) s | |",
            "| read a prompt | \(number(result.prefillTokensPerSecond)) tokens/s (spread \(share(result.prefillSpread, of: 1))) | "
                + "\(share(result.prefillGigaflopsPerSecond, of: result.prefillSgemmGigaflopsPerSecond)) of "
                + "\(number(result.prefillSgemmGigaflopsPerSecond, 0)) GFLOP/s (sgemm) |",
            "| write | \(number(result.decodeTokensPerSecond, 2)) tokens/s (spread \(share(result.decodeSpread, of: 1))) | "
                + "\(share(result.readGigabytesPerSecond, of: result.machineReadGigabytesPerSecond)) of "
                + "\(number(result.machineReadGigabytesPerSecond)) GB/s (memory) |",
        ]
        for depth in result.depths {
            let first = result.depths[0]
            if let prefill = depth.prefillTokensPerSecond {
                lines.append(
                    "| read \(depth.depth) tokens | \(number(prefill)) tokens/s | "
                        + "\(share(prefill, of: result.prefillTokensPerSecond)) of that of a prompt |")
            }
            lines.append(
                "| write after \(depth.depth) tokens | \(number(depth.decodeTokensPerSecond, 2)) tokens/s | "
                    + (depth.depth == first.depth ? "|" : depthNote(depth)))
        }
        func depthNote(_ depth: Benchmark.Result.Depth) -> String {
            let first = result.depths[0]
            return "\(share(depth.decodeTokensPerSecond, of: first.decodeTokensPerSecond)) of that after "
                + "\(first.depth), keys and values \(gigabytes(depth.keyValueBytes)) GB |"
        }
        for depth in result.foretoldDepths {
            lines.append(
                "| write after \(depth.depth) tokens, foretold | \(number(depth.decodeTokensPerSecond, 2)) tokens/s | "
                    + depthNote(depth))
        }
        func sgemmShare(_ tower: Benchmark.Result.Tower) -> String {
            "\(share(tower.gigaflopsPerSecond, of: tower.sgemmGigaflopsPerSecond)) of "
                + "\(number(tower.sgemmGigaflopsPerSecond, 0)) GFLOP/s, for \(number(tower.gigaflops, 0)) GFLOP |"
        }
        for (index, image) in result.images.enumerated() {
            let first = index == 0 ? ", the first \(number(image.tower.firstSeconds, 2)) s" : ""
            lines.append(
                "| picture, \(image.softTokens) soft tokens | \(number(image.tower.seconds, 2)) s\(first) | "
                    + sgemmShare(image.tower))
        }
        if let audio = result.audio {
            lines.append(
                "| \(number(audio.recordingSeconds)) s of sound | \(number(audio.tower.seconds, 2)) s, real-time factor "
                    + "\(number(audio.realTimeFactor, 3)) | \(sgemmShare(audio.tower))")
        }
        for parallel in result.parallel {
            lines.append(
                "| \(parallel.sequences) answers at once | \(number(parallel.tokensPerSecond)) tokens/s, "
                    + "\(number(parallel.tokensPerSecondEach)) each | \(share(parallel.share, of: 1)) of "
                    + "\(number(parallel.limitTokensPerSecond)) tokens/s |")
        }
        if let gaps = result.interruption {
            lines.append(
                "| a picture of \(gaps.softTokens) soft tokens and a prompt of \(gaps.promptTokens) come in | "
                    + "\(number(1000 * gaps.longestSeconds, 0)) ms between two tokens at most | "
                    + "\(number(gaps.longestSeconds / gaps.medianSeconds)) × the median then, "
                    + "\(number(gaps.longestSeconds / gaps.quietMedianSeconds)) × that before |")
        }
        if let drafting = result.drafting {
            lines.append(
                "| 200 tokens of the prompt copied, --draft lookup | \(number(drafting.copy)) tokens/s, "
                    + "\(number(drafting.tokensPerPass)) a pass | \(number(drafting.copyRatio, 2)) × that without |")
            lines.append(
                "| 200 tokens that mislead it | \(number(drafting.other)) tokens/s | "
                    + "\(number(drafting.otherRatio, 2)) × that without |")
        }
        for transcription in result.transcriptions {
            let pieces =
                transcription.parallelPieces == 1
                ? "a piece at a time" : "\(transcription.parallelPieces) pieces at once"
            lines.append(
                "| \(number(transcription.recordingSeconds, 0)) s transcribed, \(pieces) | "
                    + "\(number(transcription.seconds, 1)) s | real-time factor \(number(transcription.realTimeFactor, 3)) |"
            )
        }
        lines.append("| first products | \(share(result.firstProductShare, of: 1)) of the speed of later ones | |")
        lines.append("| most memory resident | \(gigabytes(result.peakResidentBytes)) GB | |")
        return lines.joined(separator: "\n")
    }
}
