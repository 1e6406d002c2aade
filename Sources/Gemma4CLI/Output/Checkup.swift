import Foundation
import Gemma4Kit
import JSONText
import Media
import Tensors

/// The findings of `gemma4 doctor`.
struct Checkup {
    struct Finding {
        enum State: String {
            case ok
            /// It works, but not optimally.
            case advice
            case problem
        }

        let state: State
        let name: String
        let text: String
        /// The recommended action; nil: none.
        var remedy: String?
    }

    private(set) var findings: [Finding] = []

    private mutating func add(_ state: Finding.State, _ name: String, _ text: String, _ remedy: String? = nil) {
        findings.append(Finding(state: state, name: name, text: text, remedy: remedy))
    }

    // MARK: Machine

    init(of device: Device) {
        let kernels = device.kernels.name
        let slower = KernelSet.available.dropFirst().map(\.name).joined(separator: ", ")
        if kernels == "scalar" {
            add(
                .advice, "CPU", "none of the instruction sets that there are kernels for: answers take minutes",
                "Use a CPU with AVX2 (x86-64 since 2013) or NEON (arm64).")
        } else {
            add(.ok, "CPU", "\(kernels) kernels; it also runs \(slower)")
        }
        add(.ok, "threads", "\(device.threads.count): \(InspectionReport.explanation(.current))")
        let core = BLASCore.current
        if case .unsuited(let wanted) = core.origin {
            add(.advice, "BLAS core", "\(core)", "Set OPENBLAS_CORETYPE=\(wanted); bench alone needs it.")
        } else {
            add(.ok, "BLAS core", "\(core)")
        }
        let memory = MemoryLimit.current
        let all =
            memory.group.map { "\(InspectionReport.bytes($0.byteCount)) that \($0.folder) allows" }
            ?? InspectionReport.bytes(Int(clamping: ProcessInfo.processInfo.physicalMemory))
        add(.ok, "memory", "\(InspectionReport.bytes(memory.availableBytes)) free of \(all)")
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0, limit.rlim_cur <= UInt64(Int.max) {
            add(
                .advice, "address space", "limited to \(InspectionReport.bytes(Int(clamping: limit.rlim_cur)))",
                "Files of weights are mapped into it: allow more with ulimit -v unlimited.")
        }
    }

    mutating func lookForPrograms() {
        let programs = [
            ("ffmpeg", "films, M4A and other sound, GIF, BMP, TIFF", "ffmpeg", "ffmpeg"),
            ("ffprobe", "films", "ffmpeg", "ffmpeg"),
            ("heif-convert", "HEIC, AVIF", "libheif-examples", "libheif"),
        ]
        for (name, reads, apt, brew) in programs {
            if let path = ExternalProgram.find(name) {
                add(.ok, name, "\(path.displayed) (\(reads))")
            } else {
                add(
                    .advice, name, "not on the PATH: it reads \(reads)",
                    "Install it with: apt-get install \(apt), or: brew install \(brew).")
            }
        }
    }

    // MARK: Model

    /// Lists the repositories in Hugging Face's cache, if no model is named.
    mutating func lookForModels() {
        let cache = HuggingFaceCache()
        let names = (try? FileManager.default.contentsOfDirectory(atPath: cache.folder.path)) ?? []
        let models = names.filter { $0.hasPrefix("models--") && $0.lowercased().contains("gemma") }.sorted()
            .map { String($0.dropFirst("models--".count)).replacing("--", with: "/") }
        if models.isEmpty {
            add(
                .advice, "model", "none named, and none of this family in \(cache.folder.path.displayed)",
                ModelPath.howToGetOne)
        } else {
            let list = models.joined(separator: ", ").displayed
            add(
                .ok, "model", "none named; downloaded are \(list)",
                "Check one with: gemma4 doctor \(models[0].displayed)")
        }
    }

    /// Opens the files that a run would open, without reading weights.
    mutating func open(_ place: URL, _ towers: TowersOptions) {
        do {
            let summary = try ModelSummary(towers.source(place))
            let inputs = summary.inputs.joined(separator: ", ")
            guard let bytes = summary.storedBytes else {
                return add(.problem, "model", "\(summary.variant), without weights", ModelPath.howToGetOne)
            }
            let size = InspectionReport.bytes(bytes)
            add(.ok, "model", "\(summary.variant), takes \(inputs); \(size) of weights, every tensor there")
            if summary.tokenizer == nil {
                add(.problem, "tokenizer", "none", "Get tokenizer.json, published beside these weights.")
            }
            let free = MemoryLimit.current.availableBytes
            if bytes > free {
                add(
                    .advice, "room",
                    "\(size) of weights in \(InspectionReport.bytes(free)) of memory: read from disk again for every token",
                    "Take --quant q4_0, which needs less than a third of bf16's memory, or a GGUF file of fewer bits.")
            }
        } catch {
            add(.problem, "model", "\(error)")
        }
    }

    /// Compares files with the SHA-256 that Hugging Face's tools recorded when downloading them, and with `SHA256SUMS`.
    mutating func compareChecksums(_ place: URL) {
        let sums = DownloadedChecksums(of: place)
        if sums.expected.isEmpty {
            return add(
                .advice, "checksums", "none to compare with beside \(place.path.displayed)",
                "hf download keeps them; or put a file SHA256SUMS there, as sha256sum writes it.")
        }
        for (file, expected) in sums.expected {
            let name = file.lastPathComponent
            let progress = ProgressLine(name)
            do {
                let found = try sums.hash(of: file) { progress.show(share: $0) }
                progress.end()
                if found == expected {
                    add(.ok, "checksum", "\(name.displayed): \(found.prefix(12))…, as downloaded")
                } else {
                    add(
                        .problem, "checksum", "\(name.displayed): expected \(expected), found \(found)",
                        "Download it again.")
                }
            } catch {
                progress.end()
                add(.problem, "checksum", "\(error)", "Download it again.")
            }
        }
    }

    // MARK: Output

    var text: String {
        findings.map { finding in
            let state = finding.state.rawValue.padding(toLength: 9, withPad: " ", startingAt: 0)
            let name = finding.name.padding(toLength: 15, withPad: " ", startingAt: 0)
            return state + name + finding.text
                + (finding.remedy.map { "\n" + String(repeating: " ", count: 24) + $0 } ?? "")
                + "\n"
        }.joined()
    }

    var json: JSONValue {
        [
            "findings": .array(
                findings.map {
                    [
                        "state": .string($0.state.rawValue), "name": .string($0.name), "text": .string($0.text),
                        "remedy": $0.remedy.map(JSONValue.string) ?? .null,
                    ]
                })
        ]
    }
}
