import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;

/** HDFS (two data nodes) and YARN (two node managers) on loopback, until killed: Yarn FOLDER PORT. Prints READY. */
public class Yarn {
  private static final String[] ADDRESSES = {
    "yarn.resourcemanager.address", "yarn.resourcemanager.scheduler.address", "yarn.resourcemanager.webapp.address",
    "yarn.resourcemanager.admin.address", "yarn.resourcemanager.resource-tracker.address", "yarn.resourcemanager.hostname"
  };

  public static void main(String[] arguments) throws Exception {
    Path home = Paths.get(arguments[0]).toAbsolutePath();
    int port = Integer.parseInt(arguments[1]);
    Configuration storage = new Configuration();
    storage.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, home.resolve("dfs").toString());
    new MiniDFSCluster.Builder(storage).numDataNodes(2).nameNodePort(port).format(true).build().waitActive();

    YarnConfiguration cluster = new YarnConfiguration();
    cluster.set("fs.defaultFS", "hdfs://127.0.0.1:" + port);
    cluster.set("yarn.scheduler.minimum-allocation-mb", "128");
    cluster.set("yarn.scheduler.maximum-allocation-mb", "4096");
    cluster.set("yarn.nodemanager.resource.memory-mb", "3500");
    cluster.set("yarn.minicluster.yarn.nodemanager.resource.memory-mb", "3500");
    cluster.set("yarn.nodemanager.resource.cpu-vcores", "8");
    cluster.set("yarn.nodemanager.vmem-check-enabled", "false");
    cluster.set("yarn.nodemanager.pmem-check-enabled", "false");
    cluster.set("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "99.9");
    cluster.set("yarn.scheduler.capacity.root.queues", "default");
    cluster.set("yarn.scheduler.capacity.root.default.capacity", "100");
    cluster.set("yarn.scheduler.capacity.maximum-am-resource-percent", "0.8");
    System.setProperty("yarn.log.dir", home.resolve("logs").toString());
    System.setProperty("test.build.data", home.resolve("yarn").toString());
    MiniYARNCluster yarn = new MiniYARNCluster("yarn", 1, 2, 1, 1);
    yarn.init(cluster);
    yarn.start();
    yarn.waitForNodeManagersToConnect(30000);

    Configuration core = new Configuration(false);
    core.set("fs.defaultFS", "hdfs://127.0.0.1:" + port);
    write(core, home.resolve("conf/core-site.xml"));
    Configuration site = new Configuration(false);
    for (String name : ADDRESSES) site.set(name, yarn.getConfig().get(name));
    site.set("yarn.application.classpath", "");
    site.set("mapreduce.application.classpath", "");
    write(site, home.resolve("conf/yarn-site.xml"));
    System.out.println("READY");
    Thread.sleep(Long.MAX_VALUE);
  }

  private static void write(Configuration configuration, Path file) throws Exception {
    Files.createDirectories(file.getParent());
    try (OutputStream out = Files.newOutputStream(file)) {
      configuration.writeXml(out);
    }
  }
}
