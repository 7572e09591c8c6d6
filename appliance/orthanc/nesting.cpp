// Keeps hostile nesting from ending Orthanc: loaded before DCMTK and civetweb, by LD_PRELOAD.
//
// DCMTK 3.6.7 reads sequences by recursion and without a bound, while they come in, before any
// plugin is asked and whoever sends them: 200 kB end the process. civetweb answers HTTP on stacks of
// 100 kB, which fifty sequences in each other fill when Orthanc makes JSON of them. Both are bounded
// here, in place of the two functions that lead there.
//
//   g++ -shared -fPIC -O2 -o nesting.so nesting.cpp
//
// Declared as in Debian 12's libdcmtk17. Where a DCMTK has no such names, nothing is replaced.

#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>

namespace {

constexpr int kDeepest = 128;  // the plugin, which can answer a sender, takes fewer
constexpr size_t kSmallestStack = 8 << 20;

thread_local int depth = 0;

struct OneDeeper {
  OneDeeper() { ++depth; }
  ~OneDeeper() { --depth; }
};

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// dcmtk/ofstd/ofcond.h
struct OFConditionConst {
  unsigned short module, code;
  int status;
  const char* text;
};
const OFConditionConst kTooDeep = {1, 6, 1, "sequences lie too deep in each other"};  // as EC_CorruptedData

class OFCondition {
 public:
  OFCondition(const OFConditionConst& why) : why_(why), owns_text_(false) {}
  OFCondition(const OFCondition&);
  ~OFCondition();

 private:
  OFConditionConst why_;
  bool owns_text_;
};

// dcmtk/dcmdata/dcsequen.h
class DcmInputStream;
enum E_TransferSyntax : int;
enum E_GrpLenEncoding : int;

class DcmSequenceOfItems {
 public:
  OFCondition read(DcmInputStream&, E_TransferSyntax, E_GrpLenEncoding, unsigned);
};

OFCondition DcmSequenceOfItems::read(DcmInputStream& stream, E_TransferSyntax syntax,
                                     E_GrpLenEncoding groups, unsigned most) {
  using Read = OFCondition (*)(DcmSequenceOfItems*, DcmInputStream&, E_TransferSyntax,
                               E_GrpLenEncoding, unsigned);
  static const auto theirs = next<Read>(
      "_ZN18DcmSequenceOfItems4readER14DcmInputStream16E_TransferSyntax16E_GrpLenEncodingj");
  const OneDeeper here;
  if (depth > kDeepest) return kTooDeep;
  return theirs(this, stream, syntax, groups, most);
}

extern "C" int pthread_attr_setstacksize(pthread_attr_t* attributes, size_t size) noexcept {
  using Set = int (*)(pthread_attr_t*, size_t);
  static const auto theirs = next<Set>("pthread_attr_setstacksize");
  return theirs(attributes, std::max(size, kSmallestStack));
}
