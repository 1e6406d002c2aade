import Foundation

/// libFuzzer's loop, for programs with their own `main`.
///
/// Source: llvm.org/docs/LibFuzzer.html, "Using libFuzzer as a library".
@_silgen_name("LLVMFuzzerRunDriver")
private func runFuzzer(
    _ argumentCount: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// `Fuzz TARGET [libFuzzer's arguments]`; if files are among them, runs only these, once.
enum Driver {
    static let target: FuzzTarget? = CommandLine.arguments.dropFirst().first.flatMap(FuzzTarget.init)

    static func run() -> Int32 {
        guard let target else {
            print("Fuzz TARGET [libFuzzer's arguments]; TARGET is one of:")
            for target in FuzzTarget.allCases { print("    \(target.rawValue)") }
            return 64
        }
        var words = [CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)
        var isFolder: ObjCBool = false
        let isReplay = words.dropFirst().contains {
            FileManager.default.fileExists(atPath: $0, isDirectory: &isFolder) && !isFolder.boolValue
        }
        if !isReplay { words += [target.corpus.path] + (target.seeds.map { [$0.path] } ?? []) }
        var pointers = words.map { strdup($0) } + [nil]
        var count = Int32(words.count)
        return pointers.withUnsafeMutableBufferPointer { pointers in
            var start = pointers.baseAddress
            return runFuzzer(&count, &start) { bytes, count in
                Driver.target!.read(Array(UnsafeBufferPointer(start: bytes, count: count)))
                return 0
            }
        }
    }
}

exit(Driver.run())
