import ArgumentParser
import Foundation
import Gemma4Kit

/// Formats and destinations of results: shared by `transcribe` and `translate`.
struct TranscriptArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Repeatable; default: txt.", valueName: "format"))
    var format: [TranscriptFormat] = []

    @Option(name: .shortAndLong, help: ArgumentHelp("Where to write; default: standard output.", valueName: "file|dir"))
    var output: String?

    @Flag(help: "Leave out recordings whose results are there.")
    var resume = false

    @Option(help: ArgumentHelp("Characters in a line of srt and vtt.", valueName: "n", visibility: .hidden))
    var maxLineWidth = 42

    @Option(help: ArgumentHelp("Lines shown at once in srt and vtt.", valueName: "n", visibility: .hidden))
    var maxLines = 2

    @Option(help: ArgumentHelp("Then ask this about the whole text.", valueName: "prompt"))
    var then: String?

    var layout: SubtitleLayout { SubtitleLayout(maxLineWidth: maxLineWidth, maxLines: maxLines) }

    func validate() throws {
        guard (10...1_000).contains(maxLineWidth) else {
            throw ValidationError("--max-line-width: expected 10 to 1000, found \(maxLineWidth)")
        }
        guard (1...10).contains(maxLines) else {
            throw ValidationError("--max-lines: expected 1 to 10, found \(maxLines)")
        }
    }

    var formats: [TranscriptFormat] {
        var formats: [TranscriptFormat] = []
        for format in format.isEmpty ? [named ?? .txt] : format where !formats.contains(format) {
            formats.append(format)
        }
        return formats
    }

    /// The format given by the extension of the output's name.
    private var named: TranscriptFormat? {
        file.flatMap { TranscriptFormat(rawValue: URL(filePath: $0).pathExtension.lowercased()) }
    }

    /// Nil if results go to standard output.
    private var file: String? { output == StandardInput.argument ? nil : output }

    var toStandardOutput: Bool { file == nil }

    /// Makes `-o` a folder with one file per result, however many there are.
    ///
    /// - Throws: `ValidationError` without `-o`.
    mutating func writeToFolder() throws {
        guard let file, !file.isEmpty else {
            throw ValidationError("--manifest and --shard need -o with a folder: each input has a file there")
        }
        output = file.hasSuffix("/") ? file : file + "/"
    }

    /// Checks that the results of these inputs can be written.
    ///
    /// - Throws: `ValidationError`; `CommandError` if they would overwrite an input or a media file.
    func check(_ inputs: [InputFile]) throws {
        if resume, file == nil { throw ValidationError("--resume needs -o: there it sees what is done") }
        if file?.isEmpty == true { throw ValidationError("-o: expected a file or a folder, found an empty name") }
        if then != nil, !formats.contains(where: { $0 == .txt || $0 == .json }) {
            throw ValidationError("--then: its answer goes into txt or json: add --format txt")
        }
        guard file == nil else {
            if let file, inputs.count > 1, named != nil, !file.hasSuffix("/"), FileIdentity(file)?.isFolder != true {
                throw ValidationError(
                    "-o \(file): the results of \(inputs.count) recordings need a folder, such as \(InputFile.withoutExtension(file))/"
                )
            }
            let files = inputs.flatMap { input in formats.map { path(input, $0, isAlone: inputs.count == 1) ?? "" } }
            let twice = Dictionary(grouping: files, by: \.self).first { $0.value.count > 1 }?.key
            if let twice {
                throw ValidationError("-o: the results of two files would both be \(twice)")
            }
            try OutputFile.check(files, inputs: inputs.map(\.path))
            for file in files { try OutputFile(file).probe() }
            return
        }
        if formats.count > 1 { throw ValidationError("several formats need -o, a folder or the name of a file") }
        if inputs.count > 1, formats[0] != .txt, formats[0] != .json {
            throw ValidationError("--format \(formats[0].rawValue) of several files needs -o with a folder")
        }
    }

    /// The inputs to be processed: with `--resume` those whose results are incomplete.
    func remaining(_ inputs: [InputFile]) -> [InputFile] {
        guard resume else { return inputs }
        let remaining = inputs.filter { input in
            !formats.allSatisfy { format in
                path(input, format, isAlone: inputs.count == 1).flatMap { FileIdentity($0) }?.isRegularFile == true
            }
        }
        if remaining.count < inputs.count {
            ByteSink.standardError.report(
                "\(inputs.count - remaining.count) of \(inputs.count) recordings are done already")
        }
        return remaining
    }

    /// The path of an input's result; nil: standard output.
    ///
    /// - Parameter isAlone: whether it is the only input.
    func path(_ input: InputFile, _ format: TranscriptFormat, isAlone: Bool) -> String? {
        guard let file else { return nil }
        var isDirectory: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: file, isDirectory: &isDirectory)
        if exists && isDirectory.boolValue || file.hasSuffix("/") || !isAlone {
            return "\(file.hasSuffix("/") ? String(file.dropLast()) : file)/\(input.outputName).\(format.rawValue)"
        }
        if formats.count == 1 { return file }
        // "talk.srt" with --format vtt too gives talk.srt and talk.vtt.
        let isFormat = TranscriptFormat(rawValue: URL(filePath: file).pathExtension) != nil
        return (isFormat ? InputFile.withoutExtension(file) : file) + ".\(format.rawValue)"
    }
}

extension TranscriptFormat: ExpressibleByArgument {
    /// Other commands name `txt` `text`.
    public init?(argument: String) { self.init(rawValue: argument == "text" ? "txt" : argument) }
}
