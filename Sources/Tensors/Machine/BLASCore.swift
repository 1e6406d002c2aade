import CKernels
import COpenBLAS
import Foundation
import Logging

/// The kernels that OpenBLAS uses, and how they were chosen.
///
/// An OpenBLAS that predates the CPU silently falls back to its kernels of 2004: 0.3.21 (Debian 12) runs `Prescott`
/// on some CPUs with AVX-512, at a quarter of their speed or less. Therefore the core it chose is compared with the
/// CPU's features, once per process and before the first product, and replaced by the right one.
package struct BLASCore: Sendable, Equatable, CustomStringConvertible {
    package enum Origin: Sendable, Equatable {
        /// Chosen by OpenBLAS, and it suits the CPU.
        case detected
        /// Replaced: OpenBLAS had chosen `previous`, which leaves the CPU's vector units unused.
        case mended(previous: String)
        /// The user set OPENBLAS_CORETYPE.
        case environment
        /// Too old for the CPU, and this OpenBLAS cannot change its core at run time: set OPENBLAS_CORETYPE=`wanted`.
        case unsuited(wanted: String)
    }

    /// As OpenBLAS spells it: "Haswell", "SkylakeX".
    package let name: String
    package let origin: Origin

    package var description: String {
        switch origin {
        case .detected: name
        case .mended(let previous): "\(name) (OpenBLAS had chosen \(previous), which is too old for this CPU)"
        case .environment: "\(name) (OPENBLAS_CORETYPE)"
        case .unsuited(let wanted): "\(name) (too old for this CPU: set OPENBLAS_CORETYPE=\(wanted))"
        }
    }

    /// The core in use. The first access chooses it; it must not run concurrently with a product that another library
    /// runs on the same OpenBLAS.
    ///
    /// OpenBLAS is set to one thread per call, for the whole process: each of our threads computes separate products.
    package static let current: BLASCore = {
        let core = choose()
        openblas_set_num_threads(1)
        if case .unsuited(let wanted) = core.origin {
            Logger(label: "gemma4").warning(
                """
                OpenBLAS computes with its \(core.name) kernels, which leave this CPU's vector units unused, and has no \
                way to change that while running. Set OPENBLAS_CORETYPE=\(wanted) before starting the program, or \
                install a newer OpenBLAS.
                """)
        }
        return core
    }()

    static var loadedName: String { String(cString: openblas_get_corename()) }

    private static func choose() -> BLASCore {
        let found = loadedName
        if getenv(variable) != nil { return BLASCore(name: found, origin: .environment) }
        guard let wanted = better(than: found, features: cpu_features()) else {
            return BLASCore(name: found, origin: .detected)
        }
        guard load(wanted), loadedName != found else { return BLASCore(name: found, origin: .unsuited(wanted: wanted)) }
        return BLASCore(name: loadedName, origin: .mended(previous: found))
    }

    /// The core to load instead of `core` on a CPU with these features; nil if `core` uses them.
    ///
    /// Cooperlake is SkylakeX compiled for CPUs that have bf16 instructions too. On Zen 4 with 0.3.21 sgemm reaches
    /// 100 GFLOP/s per thread with either, 99 with Haswell, 95 with Zen, 39 with Prescott.
    static func better(than core: String, features: UInt32) -> String? {
        let wide = ["SkylakeX", "Cooperlake", "SapphireRapids"]
        let medium = ["Haswell", "Zen", "Excavator"]
        if features & UInt32(CPU_AVX512) != 0 {
            return wide.contains(core) ? nil : features & UInt32(CPU_AVX512_BF16) != 0 ? "Cooperlake" : "SkylakeX"
        }
        return features & UInt32(CPU_AVX2) == 0 || (wide + medium).contains(core) ? nil : "Haswell"
    }

    private static let variable = "OPENBLAS_CORETYPE"

    /// Makes OpenBLAS load `core`; false if it does not export the functions for it.
    static func load(_ core: String) -> Bool {
        typealias Function = @convention(c) () -> Void
        let program = dlopen(nil, RTLD_NOW)
        let names = ["gotoblas_dynamic_quit", "openblas_read_env", "gotoblas_dynamic_init"]
        let steps = names.compactMap { dlsym(program, $0) }
        guard steps.count == 3 else { return false }
        let previous = getenv(variable).map { String(cString: $0) }
        setenv(variable, core, 1)
        for step in steps { unsafeBitCast(step, to: Function.self)() }
        if let previous { setenv(variable, previous, 1) } else { unsetenv(variable) }
        return true
    }
}
