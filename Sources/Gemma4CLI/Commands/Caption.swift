import ArgumentParser
import Foundation
import Gemma4
import Gemma4Kit
import Generation
import JSONText

struct Caption: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Describe pictures and films.",
        usage: "gemma4 caption [<options>] <file> ...",
        discussion: """
            Reads PNG, JPEG, WebP; by ffmpeg GIF, BMP, TIFF, films; by heif-convert HEIC, AVIF; and folders of them. \
            Answers about several files begin with their names.

            Example: gemma4 caption --model gemma-4-E2B-it photo.jpg
            Example: gemma4 caption --style ocr --format json -o a.jsonl --resume photo.jpg
            """)

    @Argument(help: ArgumentHelp("Pictures or folders; - is standard input.", valueName: "file"))
    var files: [String] = []

    @OptionGroup var corpus: CorpusArguments
    @OptionGroup var model: ModelOptions

    @Option(help: ArgumentHelp("For what.", valueName: "style"))
    var style: CaptionStyle?

    @Option(
        help: ArgumentHelp(
            "Said instead of \"\(Gemma4Pipeline.captionInstruction)\"", valueName: "text"))
    var instruction: String?

    @Option(help: ArgumentHelp("Soft tokens at most: 70, 140, 280, 560, 1120, or auto.", valueName: "auto|n"))
    var imageTokens: ImageTokens?

    @Option(help: ArgumentHelp("Form of output.", valueName: "text|json"))
    var format = OutputFormat.text

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Write there; to a folder: a file for each.", valueName: "file|dir"))
    var output: String?

    @Flag(help: "Write each description beside its picture, as .txt.")
    var sidecar = false

    @Flag(help: "Leave out pictures that are described already.")
    var resume = false

    @Flag(help: "Say what size the model saw and what it cost.")
    var explain = false

    @OptionGroup var parallel: ParallelOption
    @OptionGroup var thinking: ThinkingArguments
    @OptionGroup var sampling: SamplingArguments

    func validate() throws {
        try FileAnswers.validate(files)
        if style != nil, instruction != nil { throw ValidationError("give either --style or --instruction") }
        if let imageTokens { try imageTokens.check() }
        guard !files.isEmpty || corpus.manifest != nil else {
            throw ValidationError("Missing expected argument '<file> ...'")
        }
        if corpus.isGiven, !sidecar, folder == nil {
            throw ValidationError(
                "--manifest and --shard need --sidecar, or -o with a folder: each input has a file there")
        }
        if resume, !sidecar, folder == nil, output == nil || format != .json {
            throw ValidationError(
                "--resume needs --sidecar, -o with a folder, or --format json and -o: there it sees what is done")
        }
        if sidecar, output != nil { throw ValidationError("give either --sidecar or -o") }
        if sidecar, format != .text { throw ValidationError("--sidecar writes texts: leave out --format") }
    }

    func run() async throws {
        let all = try corpus.inputs(files) { try InputFile.expand($0, InputFile.pictures.union(InputFile.films)) }
        try checkSidecars(all)
        let output = folder != nil || output == StandardInput.argument ? nil : output
        try OutputFile.check(all.compactMap(ownFile) + (output.map { [$0] } ?? []), inputs: all.map(\.path))
        let results = try output.map { try ResultsFile($0, resumes: resume, key: "file") }
        let done = Set(results?.inputs.map { Self.canonical($0, besides: output) } ?? [])
        let inputs = resume ? all.filter { !isDone($0, done) } : all
        let skipped = all.count - inputs.count
        if skipped > 0 {
            ByteSink.standardError.report("\(skipped) of \(all.count) pictures are described already")
        }
        guard !inputs.isEmpty || !corpus.isGiven else {
            return try corpus.write(CorpusCounts(inputs: all.count, skipped: skipped, failed: 0, stopped: 0))
        }
        if folder != nil, let file = inputs.first.flatMap(ownFile) { try OutputFile(file).probe() }
        let answerFormat = try sampling.answerFormat.read()
        let pipeline = try model.open(parallel: parallel.count)
        guard pipeline.model.configuration.takesImages else { throw ModelInputError(.noTower("image")) }
        let haveOwnFiles = sidecar || folder != nil
        let (failed, status) = try await FileAnswers.each(
            inputs.map(\.name), parallel: parallel.count, sharesOutput: !haveOwnFiles
        ) { index, progress, turn in
            var printer = AnswerPrinter(
                format: format, showsThoughts: thinking.thinking == .on, warnsOfLength: sampling.maxTokens == nil,
                hasFormat: answerFormat != nil)
            printer.errors = printer.errors.inTurn(turn)
            printer.output = haveOwnFiles ? nil : (results?.sink ?? .standardOutput).inTurn(turn)
            let input = inputs[index]
            try await input.withOpenablePath { [printer] path in
                try await caption(input, path, pipeline, printer, answerFormat, isLabelled: all.count > 1, progress)
            }
            if let results { try turn.perform { () throws(CommandError) in try results.publish() } }
        }
        try corpus.write(CorpusCounts(inputs: all.count, skipped: skipped, failed: failed, stopped: 0))
        if let status { throw ExitCode(status.rawValue) }
    }

    /// The folder for one file per description; nil if all go to one output, or beside the images.
    private var folder: String? {
        guard let output, output != StandardInput.argument, !output.isEmpty else { return nil }
        if output.hasSuffix("/") { return String(output.dropLast()) }
        return corpus.isGiven || FileIdentity(output)?.isFolder == true ? output : nil
    }

    /// The output file of a single description; nil if descriptions share one.
    private func ownFile(_ input: InputFile) -> String? {
        sidecar ? input.sidecar : folder.map { "\($0)/\(input.outputName).\(format == .json ? "json" : "txt")" }
    }

    private func caption(
        _ input: InputFile, _ path: String, _ pipeline: Gemma4Pipeline, _ printer: AnswerPrinter,
        _ answerFormat: AnswerFormat?, isLabelled: Bool, _ progress: ProgressLine
    ) async throws {
        var options = sampling.options(over: .greedy, format: answerFormat, progress: progress)
        var printer = printer
        options.keepsCache = false
        options.thinkingBudget = thinking.thinkingBudget
        var fit: ImageFit?
        let stream: TokenStream
        if input.isFilm(at: path) {
            stream = pipeline.caption(
                video: .file(URL(filePath: path)),
                instruction: instruction ?? style?.instruction("video") ?? Gemma4Pipeline.videoInstruction,
                thinking: thinking.thinking == .on, options: options)
        } else {
            let image = ImageInput.pixels(try ImageInput(argument: path).pixels())
            let seen = try pipeline.fit(image, maxTokens: try budget(image, pipeline))
            fit = explain ? seen : nil
            if let fit, format == .json { printer.extra = [.init("explain", fit.object)] }
            stream = pipeline.caption(
                image, instruction: instruction ?? style?.instruction("image") ?? Gemma4Pipeline.captionInstruction,
                imageTokens: seen.budget, thinking: thinking.thinking == .on, options: options)
        }
        let answer = try await printer.print(
            stream, of: pipeline, about: input.path, isLabelled: isLabelled, progress: progress)
        if let file = ownFile(input) {
            let text = format == .json ? printer.object(answer, about: input.path).json : answer.text
            try OutputFile(file).replaceInFolders(with: Array((text + "\n").utf8))
        }
        if let fit, format == .text {
            let tokens = "prompt \(answer.finish?.promptTokens.count ?? 0), answer \(answer.tokens.count) tokens"
            printer.errors.report("\(input.name.displayed): \(fit); \(tokens)")
        }
    }

    private func budget(_ image: ImageInput, _ pipeline: Gemma4Pipeline) throws -> Int? {
        switch imageTokens {
        case .count(let count): count
        case .auto: try pipeline.smallestBudget(image)
        case nil: style?.imageTokens
        }
    }

    // MARK: Existing results

    /// The canonical path of a name in results: relative to the current folder if the file exists there, else to the
    /// results file.
    static func canonical(_ file: String, besides output: String?) -> String {
        guard let output, !file.hasPrefix("/"), !FileManager.default.fileExists(atPath: file) else {
            return InputFile.canonical(file)
        }
        return InputFile.canonical(URL(filePath: output).deletingLastPathComponent().path + "/" + file)
    }

    private func isDone(_ input: InputFile, _ done: Set<String>) -> Bool {
        ownFile(input).map { FileIdentity($0)?.isRegularFile == true } ?? done.contains(input.canonicalPath)
    }

    private func checkSidecars(_ inputs: [InputFile]) throws {
        guard sidecar else { return }
        if inputs.contains(where: \.isStandardInput) {
            throw ValidationError("--sidecar: standard input has no folder")
        }
        if let twice = Dictionary(grouping: inputs, by: \.sidecar).first(where: { $0.value.count > 1 })?.key {
            throw ValidationError("--sidecar: the texts of two pictures would both be \(twice)")
        }
    }
}

/// Style of a description.
enum CaptionStyle: String, ExpressibleByArgument, CaseIterable {
    case short, detailed, ocr
    case altText = "alt-text"

    /// - Parameter medium: "image" or "video".
    func instruction(_ medium: String) -> String {
        switch self {
        case .short: "Describe this \(medium) in one short sentence."
        case .detailed: "Describe this \(medium) in detail."
        case .ocr: "Write down all text in this \(medium), line by line, exactly as it stands. Only output that text."
        case .altText:
            "Write an alternative text for this \(medium): one sentence of at most 125 characters that says what it shows. "
                + "Only output that sentence."
        }
    }

    /// OCR uses the largest budget, because of small print.
    var imageTokens: Int? { self == .ocr ? 1120 : nil }
}

/// `auto`, or a budget.
enum ImageTokens: ExpressibleByArgument {
    /// The smallest budget that does not downscale the image.
    case auto
    case count(Int)

    init?(argument: String) {
        if argument == "auto" {
            self = .auto
        } else if let count = Int(argument) {
            self = .count(count)
        } else {
            return nil
        }
    }

    func check() throws {
        let budgets = ProcessorConfiguration.softTokenBudgets
        if case .count(let count) = self, !budgets.contains(count) {
            throw ValidationError(
                "--image-tokens: expected one of \(budgets.map(String.init).joined(separator: ", ")), found \(count)")
        }
    }
}

extension ImageFit: CustomStringConvertible {
    /// The word of the option.
    public var description: String {
        "\(width) × \(height), seen at \(seenWidth) × \(seenHeight) in \(softTokens) of \(budget) tokens"
    }

    fileprivate var object: JSONValue {
        [
            "width": .integer(width), "height": .integer(height), "seen_width": .integer(seenWidth),
            "seen_height": .integer(seenHeight), "image_tokens": .integer(softTokens), "budget": .integer(budget),
        ]
    }
}
