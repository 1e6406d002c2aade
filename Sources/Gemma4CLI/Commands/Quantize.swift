import ArgumentParser
import Conversion
import Foundation
import Gemma4
import Gemma4Kit
import Tensors
import Weights

struct Quantize: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a published model as GGUF, in fewer bits.",
        usage: "gemma4 quantize <directory> -o <file.gguf> [--type <type>] [<options>]",
        discussion: """
            llama.cpp opens the file too. Towers go into mmproj-<file.gguf> beside it, as they were published unless
            --tower-type says otherwise. Rows that are no whole number of blocks take q8_0 or stay as they are.

            Example: gemma4 quantize gemma-4-E2B-it -o E2B-q4_0.gguf --type q4_0 --verify speech.wav
            """)

    @Argument(help: ArgumentHelp("The model's directory.", valueName: "directory"))
    var source: String

    @Option(name: .shortAndLong, help: ArgumentHelp("Where to write.", valueName: "file.gguf"))
    var output: String

    @Option(
        help: ArgumentHelp(
            "Of the layers: \(ElementType.list(BlockQuantizer.types)), f32, bf16 or f16; default: q8_0.",
            valueName: "type"),
        transform: { try ElementType($0) })
    var type = ElementType.q8_0

    @Option(
        help: ArgumentHelp("Of embedding and head; default: q6_k under 6 bits.", valueName: "type"),
        transform: { try ElementType($0) })
    var headType: ElementType?

    @Option(
        help: ArgumentHelp("Of E2B's and E4B's per-layer table; default: the layers'.", valueName: "type"),
        transform: { try ElementType($0) })
    var pleType: ElementType?

    @Option(
        help: ArgumentHelp("Of the towers: q8_0, f16, bf16 or f32; speech is lost in fewer bits.", valueName: "type"),
        transform: { try ElementType($0, among: [.q8_0, .float16, .bfloat16, .float32]) })
    var towerType: ElementType?

    @Option(
        help: ArgumentHelp(
            "Then compare with the source on this text or recording; repeatable. Code 1 if speech suffers.",
            valueName: "file"))
    var verify: [String] = []

    func validate() throws {
        guard output.lowercased().hasSuffix(".gguf") else {
            throw ValidationError("-o: expected a name that ends in .gguf, found \(output)")
        }
    }

    func run() async throws {
        let directory = try ModelPath.find(source, "<directory>")
        guard directory.hasDirectoryPath else {
            throw ValidationError("\(source): expected a directory as published; a .gguf file has lost bits already")
        }
        let outputs = [output, projectorPath]
        let parts = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        try OutputFile.check(outputs, inputs: parts.map { directory.appending(path: $0).path } + verify)
        let export = try GGUFExport(contentsOf: directory)
        let types = WeightTypes(layers: type, head: headType, perLayerTable: pleType, towers: towerType)
        let projector = export.files.contains(.projector) ? projectorPath : nil
        var share = GridShare()
        for (file, path) in [(GGUFExport.File.text, output), (.projector, projector)] {
            guard let path else { continue }
            let progress = ProgressLine(path)
            defer { progress.end() }
            let target = OutputFile(path).target
            let draft = GGUFWriter.temporaryPath(target)
            Drafts.add(draft)
            defer { Drafts.remove(draft) }
            share = share + (try export.write(file, to: target, types: types) { progress.show(share: $0) })
            progress.end()
            let size = (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
            try ByteSink.standardOutput.write("\(path)\t\(String(format: "%.2f", Double(size) / 1e6)) MB\n")
        }
        guard !verify.isEmpty else { return }
        if share.blocks > 0 {
            let percent = String(format: "%.1f", 100 * Double(share.onGrid) / Double(share.blocks))
            try ByteSink.standardOutput.write("trained for q4_0, and kept exactly\t\(percent) % of its blocks\n")
        }
        let comparison = try await compare(directory, projector: projector)
        try ByteSink.standardOutput.write(comparison.description)
        if !comparison.isGood { throw ExitCode(1) }
    }

    private var projectorPath: String {
        let url = URL(filePath: output)
        return url.deletingLastPathComponent().appending(path: "mmproj-\(url.lastPathComponent)").path
    }

    private func text(of file: String) throws -> String {
        do {
            let bytes = try Data(contentsOf: URL(filePath: file))
            guard let text = String(validating: bytes, as: UTF8.self) else { throw CommandError(.notUTF8, file) }
            return text
        } catch let error as CocoaError {
            throw CommandError(.unreadable(reason: error.localizedDescription), file)
        }
    }

    private func compare(_ directory: URL, projector: String?) async throws -> QuantizationComparison {
        let original = try Gemma4Pipeline(contentsOf: directory)
        let quantized = try Gemma4Pipeline(
            contentsOf: URL(filePath: output), projector: projector.map { URL(filePath: $0) })
        var comparison = QuantizationComparison()
        for file in verify {
            let progress = ProgressLine(file)
            progress.begin()
            defer { progress.end() }
            if ["txt", "md"].contains(URL(filePath: file).pathExtension.lowercased()) {
                try await comparison.add(text: text(of: file), original, quantized)
            } else {
                try await comparison.add(recording: AudioInput(argument: file), original, quantized)
            }
        }
        return comparison
    }
}
